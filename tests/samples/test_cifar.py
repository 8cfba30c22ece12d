"""CIFAR's images, on fabricated trees and archives, and their augmentation."""

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.nn.functional import pad
from torchvision.datasets import CIFAR10, CIFAR100

from experiments.samples.cifar import cifar, cifar_folder, crop_flip

CLASSES = ("ant", "bee", "cow")
IMAGES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


class Intruder:
    """Makes a file when it is unpickled."""

    def __init__(self, file: Path):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


@pytest.fixture
def tree(tmp_path):
    """Three classes of four training and two test images, whose colours tell class and number; written backwards."""
    for part, count in [("train", 4), ("test", 2)]:
        for label, name in reversed([*enumerate(CLASSES)]):
            for number in reversed(range(count)):
                file = tmp_path / "images" / part / name / f"{number}.{['png', 'PNG', 'jpg', 'jpeg'][number]}"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (32, 32), (80 * label, 60 * number, 255)).save(file, quality=100)
    return tmp_path / "images"


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """Both data sets as the published archives unpack, with 3 images a file, under their own checksums."""
    for dataset, key in [(CIFAR10, "labels"), (CIFAR100, "fine_labels")]:
        folder = tmp_path / dataset.base_folder
        folder.mkdir()

        def published(name, content, folder=folder):
            (folder / name).write_bytes(pickle.dumps(content))
            return hashlib.md5((folder / name).read_bytes()).hexdigest()

        for part in ("train_list", "test_list"):
            names = [name for name, _ in getattr(dataset, part)]
            sums = [[name, published(name, batch(name, key))] for name in names]
            monkeypatch.setattr(dataset, part, sums)
        meta = dataset.meta | {"md5": published(dataset.meta["filename"], {dataset.meta["key"]: list("abc")})}
        monkeypatch.setattr(dataset, "meta", meta)
    return tmp_path


def batch(name, key):
    pixels = np.random.default_rng(list(name.encode())).integers(0, 256, (3, 3072), np.uint8)
    return {"data": pixels, key: [2, 0, 1], "coarse_labels": [9, 9, 9]}


def test_a_tree_becomes_images_in_the_unit_range_with_labels_in_the_order_of_names(tree):
    samples = cifar_folder("train", folder=str(tree))
    assert samples.inputs.shape == (12, 3, 32, 32)
    assert samples.inputs.dtype == torch.float32
    assert samples.labels.dtype == torch.int64
    red, green, blue = (samples.inputs.mean((2, 3)) * 255).round().T
    assert torch.equal((red / 80).round(), samples.labels.float())
    assert (green / 60).round().tolist() == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
    assert blue.min() > 250


def test_classes_take_turns_so_that_a_smaller_set_is_the_beginning_of_a_larger_one(tree):
    whole = cifar_folder("train", folder=str(tree))
    assert whole.labels.tolist() == [0, 1, 2] * 4
    for count in (1, 2, 3):
        few = cifar_folder("train", folder=str(tree), per_class=count)
        assert torch.equal(few.inputs, whole.inputs[: 3 * count])
        assert torch.equal(few.labels, whole.labels[: 3 * count])


def test_classes_of_unequal_size_are_read_whole(tree):
    (tree / "train" / "ant" / "3.jpeg").unlink()
    samples = cifar_folder("train", folder=str(tree))
    assert samples.labels.tolist() == [0, 1, 2] * 3 + [1, 2]
    assert len(samples.inputs) == 11


def test_pixels_are_those_that_pillow_reads(tree):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    for name, image in zip(("0.png", "1.jpg"), pixels, strict=True):
        Image.fromarray(image).save(tree / "test" / "ant" / name)
    (tree / "test" / "ant" / "1.PNG").unlink()
    samples = cifar_folder("test", folder=str(tree))
    for name, image in zip(("0.png", "1.jpg"), samples.inputs[::3], strict=True):
        expected = np.asarray(Image.open(tree / "test" / "ant" / name)).transpose(2, 0, 1)
        assert np.array_equal((image * 255).round().numpy(), expected)


def test_what_is_read_does_not_depend_on_where_the_tree_lies_nor_on_hidden_and_other_files(tree, tmp_path):
    before = cifar_folder("test", folder=str(tree))
    (tree / "train" / ".checkpoints").mkdir()
    (tree / "test" / "ant" / "._0.png").write_bytes(b"of a file system")
    (tree / "test" / "labels.txt").write_text("ant bee cow")
    (tree / "extra").mkdir()
    tree.rename(tmp_path / "elsewhere")
    after = cifar_folder("test", folder=str(tmp_path / "elsewhere"))
    assert torch.equal(before.inputs, after.inputs)
    assert torch.equal(before.labels, after.labels)


def test_one_part_alone_can_be_read(tree):
    for file in (tree / "test").rglob("*.*"):
        file.unlink()
    for folder in [*(tree / "test").iterdir(), tree / "test"]:
        folder.rmdir()
    assert len(cifar_folder("train", folder=str(tree)).inputs) == 12
    with pytest.raises(ValueError, match=r"test holds no classes; images must lie in .*images/{train,test}/<class>/"):
        cifar_folder("test", folder=str(tree))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda tree: tree.rename(tree.with_name("x")), r"train holds no classes; images must lie in .*/<class>/"),
        (lambda tree: (tree / "test" / "dog").mkdir(), "must have the same classes; only one has dog"),
        (lambda tree: (tree / "test" / "ant").rename(tree / "test" / "Ant"), "only one has Ant, ant"),
        (lambda tree: (tree / "train" / "bee" / "2.jpg").unlink(), "bee holds 3 images .* exceed that, as 4 does"),
        (lambda tree: (tree / "train" / "bee" / "0.png").write_bytes(b""), "cannot read the image .*bee/0.png: Expect"),
        (lambda tree: (tree / "train" / "bee" / "0.png").write_bytes(b"text"), "cannot read the image .*bee/0.png: U"),
        (lambda tree: write_half(tree / "train" / "bee" / "3.jpeg"), "3.jpeg: Image is incomplete"),
        (lambda tree: write_image(tree / "train" / "bee" / "0.png", "RGB", 33), r"0.png must have 32 x 32.*33, 33"),
        (lambda tree: write_image(tree / "train" / "bee" / "0.png", "I;16", 32), "of eight bits, not .*uint16"),
    ],
    ids=["missing", "extra class", "renamed class", "few", "empty", "text", "half", "size", "bits"],
)
def test_a_tree_that_does_not_fit_is_refused_in_one_line(harm, message, tree):
    harm(tree)
    with pytest.raises(ValueError, match=message) as caught:
        cifar_folder("train", folder=str(tree), per_class=4)
    assert "\n" not in str(caught.value)


def test_a_class_without_images_is_refused(tree):
    for name in ("train", "test"):
        (tree / name / "dog").mkdir()
    with pytest.raises(ValueError, match=r"dog holds 0 images .* every class needs some"):
        cifar_folder("train", folder=str(tree))


def test_unknown_parts_and_counts_are_refused(tree, archive):
    with pytest.raises(ValueError, match="part must be one of train, test, not 'val'"):
        cifar_folder("val", folder=str(tree))
    with pytest.raises(ValueError, match="part must be one of train, test, not 'val'"):
        cifar("val", root=str(archive))
    with pytest.raises(ValueError, match="per_class must be at least 1, not 0"):
        cifar_folder("train", folder=str(tree), per_class=0)
    with pytest.raises(ValueError, match="classes must be 10 or 100, not 20"):
        cifar("train", root=str(archive), classes=20)


@pytest.mark.parametrize("classes", [10, 100])
def test_the_published_archives_become_samples_in_their_own_order(classes, archive):
    names = {"test": ["test_batch"], "train": [f"data_batch_{i}" for i in range(1, 6)]}
    names = names if classes == 10 else {"test": ["test"], "train": ["train"]}
    for part, files in names.items():
        samples = cifar(part, root=str(archive), classes=classes)
        pixels = np.concatenate([batch(name, "labels")["data"] for name in files]).reshape(-1, 3, 32, 32)
        assert samples.inputs.dtype == torch.float32
        assert samples.inputs.is_contiguous()
        assert np.array_equal((samples.inputs * 255).round().numpy(), pixels)
        assert samples.inputs.max() <= 1
        assert samples.labels.tolist() == [2, 0, 1] * len(files)


def test_missing_and_damaged_archives_say_what_to_do(archive, tmp_path):
    remedy = r"download=true, or put the published folder cifar-10-batches-py there"
    with pytest.raises(ValueError, match=rf"cannot read CIFAR-10 in .*nowhere \(.*not found.*\): set {remedy}"):
        cifar("train", root=str(tmp_path / "nowhere"))
    (archive / "cifar-10-batches-py" / "test_batch").write_bytes(pickle.dumps(Intruder(tmp_path / "trace")))
    with pytest.raises(ValueError, match=remedy):
        cifar("test", root=str(archive))
    assert not (tmp_path / "trace").exists()


def test_a_download_that_fails_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(CIFAR100, "url", (tmp_path / "nothing.tar.gz").as_uri())
    with pytest.raises(ValueError, match=r"cannot read CIFAR-100 in .*put the published folder cifar-100-python") as e:
        cifar("train", root=str(tmp_path), classes=100, download=True)
    assert "\n" not in str(e.value)


@settings(deadline=None, max_examples=30)
@given(
    count=st.integers(1, 5),
    channels=st.integers(1, 3),
    height=st.integers(1, 12),
    width=st.integers(1, 12),
    seed=st.integers(0, 2**32),
)
def test_every_output_is_a_shifted_and_perhaps_mirrored_crop_of_its_own_image(count, channels, height, width, seed):
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(count, channels, height, width, generator=generator)
    for image, output in zip(images, crop_flip(images, generator), strict=True):
        assert any(torch.equal(output, crop) for crop in all_crops(image))


def test_all_162_outcomes_occur_about_equally_often_and_the_centre_unmirrored_is_the_image():
    outcomes = torch.stack(all_crops(IMAGES[0, :, :8, :8]))
    outputs = crop_flip(IMAGES[:1, :, :8, :8].expand(16200, -1, -1, -1), torch.Generator().manual_seed(0))
    which = torch.cdist(outputs.flatten(1), outcomes.flatten(1)).argmin(1)
    assert torch.equal(outcomes[which], outputs)
    counts = torch.bincount(which, minlength=162)
    statistic = ((counts - 100.0) ** 2 / 100).sum()  # chi-squared of 161 degrees of freedom: mean 161, deviation 18
    assert statistic < 161 + 5 * 18
    assert torch.equal(outcomes[2 * 40], IMAGES[0, :, :8, :8])


def test_images_move_independently_of_each_other():
    outputs = crop_flip(IMAGES[:1].expand(500, -1, -1, -1), torch.Generator().manual_seed(0))
    assert len(outputs.flatten(1).unique(dim=0)) > 140  # of 162; one draw for all would give 1


def test_the_augmentation_depends_on_the_generator_alone_which_it_moves_on():
    state = torch.get_rng_state()
    images = IMAGES.repeat(10, 1, 1, 1)
    kept = images.clone()
    generator = torch.Generator().manual_seed(3)
    first, second = crop_flip(images, generator), crop_flip(images, generator)
    assert torch.equal(first, crop_flip(images, torch.Generator().manual_seed(3)))
    assert not torch.equal(first, second)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(images, kept)
    last = images.contiguous(memory_format=torch.channels_last)
    assert torch.equal(first, crop_flip(last, torch.Generator().manual_seed(3)))


def all_crops(image):
    """Every window of the image with four black pixels around, row by row; each upright, then mirrored."""
    _, height, width = image.shape
    padded = pad(image, (4, 4, 4, 4))
    crops = [padded[:, row : row + height, column : column + width] for row in range(9) for column in range(9)]
    return [turned for crop in crops for turned in (crop, crop.flip(2))]


def write_image(file, mode, size):
    Image.new(mode, (size, size)).save(file)


def write_half(file):
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
