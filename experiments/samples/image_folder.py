"""Photographs from a folder: the probe images of testbeds at their published size."""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from experiments.commands.refusal import Mendable
from experiments.interfaces import Samples

SUFFIXES = (".jpg", ".jpeg", ".png")
SMALLEST = 8
ODDITIES = (SyntaxError, Image.DecompressionBombError)
"""What Pillow calls a broken PNG, and an image of over 178 million pixels."""


def image_folder(*, root: str, count: int | None, size: int, seed: int, max_images: int | None = None) -> Samples:
    """`count` colour images (count, 3, size, size) in [0, 1] without labels, drawn from all below a folder.

    The shorter side is resized, the centre cut out; grey images get three equal colours and transparency is dropped.
    What is drawn depends on the files' names below the folder and on the seed, not on the file system.

    Args:
        root: the folder.
        count: at most `max_images`; None takes all there are, but no more than these.
        size: of the square, in pixels.
        seed: draws which.
        max_images: None for no limit.

    Raises:
        ValueError: if there are fewer images, more are wanted than `max_images`, one cannot be read, or `size` is below
            8.
    """
    if size < SMALLEST:
        raise ValueError(f"size must be at least {SMALLEST} pixels, not {size}")
    if count is not None and max_images is not None and count > max_images:
        raise ValueError(f"count must be at most max_images, {max_images}, not {count}; set max_images=null")
    files = _images(Path(root))
    if count is None:
        count = min(len(files), len(files) if max_images is None else max_images)
    if not 1 <= count <= len(files):
        raise Mendable(
            f"{root} holds {len(files)} images ({', '.join(SUFFIXES)}); count must lie between 1 and that, not {count}"
        )
    drawn = torch.randperm(len(files), generator=torch.Generator().manual_seed(seed))[:count]
    inputs = torch.empty(count, 3, size, size)
    for image, position in zip(inputs, drawn.tolist(), strict=True):
        image.copy_(_read(files[position], size))
    return Samples(inputs)


def _images(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise Mendable(f"there is no folder {folder}; set testbed.samples.root to a folder of images")
    found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def _read(file: Path, size: int) -> Tensor:
    from torchvision.transforms import v2  # only here: it takes seconds, and composing a testbed needs none

    try:
        with Image.open(file) as image:
            # Pillow would cut values beyond 255 off, and leave a white image.
            if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"):
                raise ValueError(f"its pixels are of the kind {image.mode}, not of eight bits")
            colour = image.convert("RGB")
    except (OSError, ValueError, *ODDITIES) as error:
        raise Mendable(f"cannot read the image {file}: {error}") from error
    steps = [v2.Resize(size), v2.CenterCrop(size), v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)]
    return v2.Compose(steps)(colour)
