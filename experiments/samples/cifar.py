"""CIFAR's 32 x 32 photographs, from the published archives or a tree of image files, and their usual augmentation."""

import re
from http.client import HTTPException
from itertools import zip_longest
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import pad

from experiments.commands.refusal import Mendable
from experiments.interfaces import Samples

PARTS = ("train", "test")
SIZE = 32
SUFFIXES = (".jpg", ".jpeg", ".png")
PADDING = 4


def cifar(part: str, *, root: str, classes: int = 10, download: bool = False) -> Samples:
    """All images (n, 3, 32, 32) in [0, 1] of one part of CIFAR-10 or CIFAR-100 (Krizhevsky, 2009), and their labels.

    Args:
        part: train (50,000 images) or test (10,000).
        root: where the unpacked archive lies, or is put.
        classes: 10, or 100 (the fine labels).
        download: fetch what is missing.

    Raises:
        ValueError: if the files are missing, damaged or cannot be fetched.
    """
    from torchvision.datasets import CIFAR10, CIFAR100  # only here: it takes seconds, and composing needs none

    _refuse_unknown(part)
    if classes not in (10, 100):
        raise ValueError(f"classes must be 10 or 100, not {classes}")
    dataset = CIFAR10 if classes == 10 else CIFAR100
    try:
        images = dataset(root, train=part == "train", download=download)
    except (RuntimeError, OSError, HTTPException) as error:
        raise Mendable(
            f"cannot read CIFAR-{classes} in {root} ({str(error).split('.')[0]}): "
            f"set download=true, or put the published folder {dataset.base_folder} there"
        ) from error
    pixels = torch.from_numpy(images.data.transpose(0, 3, 1, 2))
    return Samples(pixels / 255, torch.tensor(images.targets))


def cifar_folder(part: str, *, folder: str, per_class: int | None = None) -> Samples:
    """Images (n, 3, 32, 32) in [0, 1] from `<folder>/{train,test}/<class>/*.jpg|png`, one of each class in turn.

    Labels count the classes by name. What is read depends on the files' names alone, and a smaller `per_class` gives
    the beginning of a larger one.

    Args:
        part: train or test.
        folder: holds the two parts; other ones beside them are ignored.
        per_class: how many images of each class, the first by name; all by default.

    Raises:
        ValueError: if the tree is another one, a class has too few images, or one is unreadable or of another size.
    """
    _refuse_unknown(part)
    if per_class is not None and per_class < 1:
        raise ValueError(f"per_class must be at least 1, not {per_class}")
    picked = [_images(of_class, per_class) for of_class in _classes(Path(folder), part)]
    drawn = [(label, file) for turn in zip_longest(*picked) for label, file in enumerate(turn) if file]
    inputs = torch.empty(len(drawn), 3, SIZE, SIZE)
    for image, (_, file) in zip(inputs, drawn, strict=True):
        image.copy_(_read(file))
    return Samples(inputs.div_(255), torch.tensor([label for label, _ in drawn]))


def crop_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """The images, each moved by up to 4 pixels up, down, left and right, and every second one mirrored, on average.

    Images (n, channels, height, width) in [0, 1] are cropped from themselves with 4 black pixels around (He et al.,
    2016, section 4.2): before standardisation, as in the published recipe, hence not padded with the mean colour.

    >>> crop_flip(torch.rand(2, 3, 32, 32), torch.Generator().manual_seed(0)).shape
    torch.Size([2, 3, 32, 32])
    """
    count, _, height, width = images.shape
    draw = {"generator": generator, "device": generator.device}
    rows, columns = torch.randint(2 * PADDING + 1, (2, count), **draw).to(images.device)
    mirrored = torch.randint(2, (count, 1, 1, 1), **draw).to(images.device) == 1
    windows = pad(images, [PADDING] * 4).unfold(2, height, 1).unfold(3, width, 1)  # a view: nothing is copied
    crops = windows[torch.arange(count, device=images.device), :, rows, columns]
    return torch.where(mirrored, crops.flip(3), crops)


def _refuse_unknown(part: str) -> None:
    if part not in PARTS:
        raise ValueError(f"part must be one of {', '.join(PARTS)}, not {part!r}")


def _classes(folder: Path, part: str) -> list[Path]:
    """The folders of one part's classes, by name; the other part, where there is one, must have the same."""
    parts = [name for name in PARTS if (folder / name).is_dir()]
    names = {name: [path.name for path in _visible(folder / name) if path.is_dir()] for name in parts}
    if not names.get(part):
        raise Mendable(f"{folder / part} holds no classes; images must lie in {folder}/{{train,test}}/<class>/")
    odd = sorted(set().union(*names.values()).difference(set(names[part]).intersection(*names.values())))
    if odd:
        raise Mendable(f"train and test in {folder} must have the same classes; only one has {', '.join(odd)}")
    return [folder / part / name for name in names[part]]


def _images(folder: Path, count: int | None) -> list[Path]:
    files = [path for path in _visible(folder) if path.suffix.lower() in SUFFIXES]
    if len(files) < (count or 1):
        raise Mendable(
            f"{folder} holds {len(files)} images ({', '.join(SUFFIXES)}); "
            + ("every class needs some" if count is None else f"per_class must not exceed that, as {count} does")
        )
    return files[:count]


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _read(file: Path) -> Tensor:
    from torchvision.io import ImageReadMode, decode_image  # five times as fast as Pillow

    try:
        image = decode_image(str(file), mode=ImageReadMode.RGB)
    except RuntimeError as error:
        reason = re.sub(r".*\.cpp:\d+, ", "", str(error).splitlines()[0])  # not where in torchvision it was raised
        raise Mendable(f"cannot read the image {file}: {reason}") from error
    if image.dtype != torch.uint8 or image.shape != (3, SIZE, SIZE):
        raise Mendable(
            f"{file} must have {SIZE} x {SIZE} pixels of eight bits, not {tuple(image.shape)}, {image.dtype}"
        )
    return image
