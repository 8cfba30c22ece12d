"""Where paths start: functions of the paths' ends and the whole pool."""

from collections.abc import Callable

import torch
from torch import Tensor

Start = Callable[[Tensor, Tensor], Tensor]
"""Ends of the paths and the whole pool -> starts."""


def black(ends: Tensor, pool: Tensor) -> Tensor:
    """Start at zero in pixel space."""
    return torch.zeros(())


def mid_grey(ends: Tensor, pool: Tensor) -> Tensor:
    """Start at half brightness: zero for encoders that take images in [-1, 1], the published start of dense tasks."""
    return torch.full((), 0.5)


def mean_colour(ends: Tensor, pool: Tensor) -> Tensor:
    """Start at the pool's mean colour: zero after the usual normalisation, the published start."""
    return pool.mean((0, 2, 3), keepdim=True)


def mean_image(ends: Tensor, pool: Tensor) -> Tensor:
    """Start at the pool's mean image."""
    return pool.mean(0, keepdim=True)


def other_samples(ends: Tensor, pool: Tensor) -> Tensor:
    """Start each path where the one before it ends, the first where the last does."""
    return ends.roll(1, 0)
