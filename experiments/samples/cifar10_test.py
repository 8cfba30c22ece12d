"""CIFAR-10's test images, whichever way they lie in a folder."""

from functools import cache
from pathlib import Path

import torch

from experiments.commands.refusal import Mendable
from experiments.interfaces import Samples
from experiments.samples.cifar import cifar, cifar_folder

ARCHIVE, IMAGES = "cifar-10-batches-py", 10_000


@cache
def cifar10_test(*, root: str, download: bool = False, dry_run: bool = False) -> Samples:
    """All 10,000 test images (10000, 3, 32, 32) in [0, 1] and their labels, in the archive's order or the tree's.

    The two orders differ, so reference points drawn of one are not those drawn of the other; a record tells them apart.

    Args:
        root: holds the unpacked archive, `cifar-10-batches-py`, or a tree of image files, `test/<class>/*.png|jpg`.
        download: fetch the archive if neither is there.
        dry_run: 64 random images instead.

    Raises:
        ValueError: if the images are missing, damaged, or not 10,000 of ten classes.
    """
    if dry_run:
        generator = torch.Generator().manual_seed(0)
        labels = torch.arange(64) % 10
        return Samples(torch.rand(64, 3, 32, 32, generator=generator), labels)
    tree = (Path(root) / "test").is_dir() and not (Path(root) / ARCHIVE).is_dir()
    found = cifar_folder("test", folder=root) if tree else cifar("test", root=root, download=download)
    assert found.labels is not None
    if len(found.inputs) != IMAGES or int(found.labels.max()) != 9:
        raise Mendable(
            f"{root} holds {len(found.inputs)} test images of {int(found.labels.max()) + 1} classes, not {IMAGES:,} of "
            f"CIFAR-10's ten: put the published folder {ARCHIVE} there, or all of them as test/<class>/*.png"
        )
    return found
