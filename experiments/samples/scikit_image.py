"""Crops of the photographs that scikit-image brings along: colour images without a download."""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from experiments.interfaces import Samples

PHOTOGRAPHS = ("astronaut.png", "chelsea.png", "coffee.png", "ihc.png", "retina.jpg", "rocket.jpg")
"""A person, a cat, a cup, stained tissue, the back of an eye, a launch."""


def crops(*, count: int, size: int, seed: int) -> Samples:
    """`count` colour images (count, 3, size, size) in [0, 1] without labels, of all photographs in turns.

    Each is a random square, its side between half of the photograph's shorter side and all of it, resized.

    Raises:
        ValueError: if count or size is below 1.

    >>> crops(count=2, size=8, seed=0).inputs.shape
    torch.Size([2, 3, 8, 8])
    """
    if min(count, size) < 1:
        raise ValueError(f"count and size must be at least 1, not {count} and {size}")
    photographs = [_read(name) for name in PHOTOGRAPHS[:count]]
    generator = torch.Generator().manual_seed(seed)
    images = torch.empty(count, 3, size, size)
    for position, image in enumerate(images):
        photograph = photographs[position % len(photographs)]
        shorter = min(photograph.shape[1:])
        side = int(torch.randint(shorter // 2, shorter + 1, (), generator=generator))
        top, left = (int(torch.randint(length - side + 1, (), generator=generator)) for length in photograph.shape[1:])
        square = photograph[None, :, top : top + side, left : left + side]
        image.copy_(interpolate(square, size=(size, size), mode="bilinear", antialias=True)[0].clamp(0, 1))
    return Samples(images)


def _read(name: str) -> Tensor:
    import skimage.data
    from PIL import Image
    from torchvision.transforms.v2.functional import pil_to_tensor

    with Image.open(Path(skimage.data.__file__).parent / name) as image:
        return pil_to_tensor(image.convert("RGB")).float() / 255
