"""Random smooth images with labels, for tests and documentation."""

import torch
from torch.nn.functional import interpolate

from experiments.interfaces import Samples


def toy(*, size: int = 64, seed: int = 0) -> Samples:
    """`size` grey images (size, 1, 8, 8) of blurred noise in [0, 1], with random labels of ten classes."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(size, 1, 4, 4, generator=generator)
    images = interpolate(coarse, size=8, mode="bilinear").clamp(0, 1)
    return Samples(images, torch.randint(10, (size,), generator=generator))
