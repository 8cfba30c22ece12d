"""CIFAR-10's test images as a tree or as the archive; fabricated, and fewer."""

import pytest
import torch
from PIL import Image

from experiments.interfaces import Samples
from experiments.samples import cifar10_test as module
from experiments.samples.cifar import cifar_folder
from experiments.samples.cifar10_test import cifar10_test


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Two test images of each of ten classes."""
    monkeypatch.setattr(module, "IMAGES", 20)
    for label in range(10):
        for number in range(2):
            file = tmp_path / "test" / f"class{label}" / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (32, 32), (20 * label, 60 * number, 255)).save(file)
    return tmp_path


def test_a_tree_is_read_whole(tree):
    found, expected = cifar10_test(root=str(tree)), cifar_folder("test", folder=str(tree))
    assert torch.equal(found.inputs, expected.inputs)
    assert found.labels.tolist() == 2 * list(range(10))


def test_the_archive_goes_before_a_tree_and_is_fetched_if_asked(tree, monkeypatch):
    asked = []

    def archive(part, *, root, download):
        asked.append((part, root, download))
        return Samples(torch.zeros(20, 3, 32, 32), torch.arange(20) % 10)

    monkeypatch.setattr(module, "cifar", archive)
    (tree / module.ARCHIVE).mkdir()
    assert cifar10_test(root=str(tree), download=True).inputs.max() == 0
    assert asked == [("test", str(tree), True)]


def test_a_part_of_the_images_is_refused_in_one_line(tree):
    (tree / "test" / "class3" / "1.png").unlink()
    with pytest.raises(ValueError, match=r"holds 19 test images of 10 classes, not 20 of .*: put .*batches-py there"):
        cifar10_test(root=str(tree))


def test_images_that_are_nowhere_are_refused_with_what_to_do(tmp_path):
    with pytest.raises(ValueError, match=r"cannot read CIFAR-10 in .*: set download=true, or put the published folder"):
        cifar10_test(root=str(tmp_path))


def test_a_rehearsal_needs_no_files():
    found = cifar10_test(root="nowhere", dry_run=True)
    assert found.inputs.shape == (64, 3, 32, 32)
    assert set(found.labels.tolist()) == set(range(10))
