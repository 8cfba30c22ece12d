"""Probe images: folders of photographs."""

import numpy as np
import pytest
import torch
from PIL import Image

from experiments.samples.image_folder import image_folder


@pytest.fixture
def folder(tmp_path):
    """Six images, each of one colour of its own, in two layers of folders."""
    for number, name in enumerate(["b/1.png", "b/2.PNG", "a/c/3.jpeg", "a/4.jpg", "5.JPG", "6.png"]):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20 + number, 30), (40 * number, 0, 255)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def test_images_are_colour_squares_in_the_unit_range(folder):
    samples = image_folder(root=str(folder), count=6, size=16, seed=0)
    assert samples.inputs.shape == (6, 3, 16, 16)
    assert samples.labels is None
    assert samples.inputs.dtype == torch.float32
    assert 0 <= samples.inputs.min() < samples.inputs.max() <= 1
    assert sorted(round(5 * red.item()) for red in samples.inputs[:, 0].mean((1, 2)) * 255 / 200) == [0, 1, 2, 3, 4, 5]


def test_the_draw_depends_on_names_and_seed_and_not_on_where_the_folder_lies(folder, tmp_path_factory):
    drawn = image_folder(root=str(folder), count=4, size=8, seed=1).inputs
    moved = tmp_path_factory.mktemp("elsewhere") / "images"
    folder.rename(moved)
    assert torch.equal(image_folder(root=str(moved), count=4, size=8, seed=1).inputs, drawn)
    others = [image_folder(root=str(moved), count=4, size=8, seed=seed).inputs for seed in range(2, 5)]
    assert any(not torch.equal(other, drawn) for other in others)


def test_a_smaller_draw_is_the_beginning_of_a_larger_one(folder):
    large = image_folder(root=str(folder), count=6, size=8, seed=0).inputs
    assert torch.equal(image_folder(root=str(folder), count=2, size=8, seed=0).inputs, large[:2])
    assert len(large.flatten(1).unique(dim=0)) == 6


@pytest.mark.parametrize("turned", [False, True])
def test_the_centre_of_the_longer_side_is_kept(turned, tmp_path):
    pixels = np.zeros((32, 96, 3), np.uint8)
    pixels[:, 32:64] = (255, 128, 0)
    pixels = pixels.transpose(1, 0, 2) if turned else pixels
    Image.fromarray(pixels).save(tmp_path / "x.png")
    (image,) = image_folder(root=str(tmp_path), count=1, size=32, seed=0).inputs
    torch.testing.assert_close(image, torch.tensor([1, 128 / 255, 0]).view(3, 1, 1).expand(3, 32, 32))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA"])
def test_grey_and_transparent_images_become_three_colours(mode, tmp_path):
    Image.new("RGB", (16, 16), (255, 255, 255)).convert(mode).save(tmp_path / "x.png")
    assert image_folder(root=str(tmp_path), count=1, size=16, seed=0).inputs.eq(1).all()


def test_an_unreadable_image_is_named(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    for name in ("x.png", "x.jpg"):
        file = tmp_path / name
        Image.fromarray(noise).save(file)
        whole = file.read_bytes()
        for content in (b"", b"no image", whole[: len(whole) // 2]):
            file.write_bytes(content)
            with pytest.raises(ValueError, match=rf"cannot read the image .*{name}: "):
                image_folder(root=str(tmp_path), count=1, size=16, seed=0)
        file.unlink()


def test_depths_of_sixteen_bits_are_not_taken_for_colours(tmp_path):
    Image.fromarray(np.full((16, 16), 30_000, np.uint16)).save(tmp_path / "depth.png")
    with pytest.raises(ValueError, match=r"depth\.png: its pixels are of the kind I;16"):
        image_folder(root=str(tmp_path), count=1, size=16, seed=0)


def test_a_folder_that_is_missing_or_too_small_and_a_size_that_is_are_refused(folder):
    with pytest.raises(ValueError, match=r"there is no folder .*nowhere; set testbed\.samples\.root"):
        image_folder(root=str(folder / "nowhere"), count=1, size=16, seed=0)
    for count in (0, 7):
        with pytest.raises(ValueError, match=rf"holds 6 images .* not {count}"):
            image_folder(root=str(folder), count=count, size=16, seed=0)
    with pytest.raises(ValueError, match="at least 8 pixels, not 7"):
        image_folder(root=str(folder), count=1, size=7, seed=0)


def test_without_a_count_all_images_are_taken_up_to_the_most_that_are_wanted(folder):
    whole = image_folder(root=str(folder), count=None, size=8, seed=0, max_images=100).inputs
    assert len(whole) == 6
    for count in (None, 4):
        found = image_folder(root=str(folder), count=count, size=8, seed=0, max_images=4).inputs
        assert torch.equal(found, whole[:4])
    with pytest.raises(ValueError, match="count must be at most max_images, 4, not 5; set max_images=null"):
        image_folder(root=str(folder), count=5, size=8, seed=0, max_images=4)
