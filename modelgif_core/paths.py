"""Where a field is followed: straight lines through input space."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

USUAL_STEPS = 50
"""Quadrature nodes on a path, as published."""


@dataclass(frozen=True)
class Paths:
    """Straight lines through input space, each from a start to an end (the reference point).

    `starts` may be any tensor that broadcasts to `ends`: one value, one image for all, or an image for each.

    >>> paths = Paths(starts=torch.zeros(()), ends=torch.rand(4, 3, 8, 8))
    >>> len(paths), paths.starts.shape
    (4, torch.Size([4, 3, 8, 8]))
    """

    starts: Float[Tensor, "..."]
    """Where the paths begin: zeros, a mean image, other samples."""
    ends: Float[Tensor, "paths ..."]
    """Where the paths end: the reference points, in the models' input space."""
    labels: Int[Tensor, " paths"] | None = None
    """The class of each reference point, for readouts that follow it."""

    def __post_init__(self) -> None:
        if self.ends.ndim < 2 or len(self.ends) == 0:
            raise ValueError(f"ends must be (paths, ...) with at least one path, not {tuple(self.ends.shape)}")
        if not self.ends.is_floating_point():
            raise ValueError(f"ends must be floating-point numbers, not {self.ends.dtype}: there is no way between")
        try:
            object.__setattr__(self, "starts", self.starts.expand_as(self.ends))
        except RuntimeError:
            raise ValueError(
                f"starts {tuple(self.starts.shape)} do not broadcast to ends {tuple(self.ends.shape)}"
            ) from None
        if self.labels is not None and self.labels.shape != self.ends.shape[:1]:
            raise ValueError(f"{len(self.ends)} paths need as many labels, not {tuple(self.labels.shape)}")
        for name, points in [("starts", self.starts), ("ends", self.ends)]:
            if not torch.isfinite(points).all():
                raise ValueError(f"{name} hold values that are not finite")

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index: slice | Tensor) -> "Paths":
        return Paths(self.starts[index], self.ends[index], None if self.labels is None else self.labels[index])

    def split(self, size: int) -> Iterator["Paths"]:
        """The same paths in consecutive chunks of at most `size`."""
        for first in range(0, len(self), size):
            yield self[first : first + size]


def held_at_once(chunk: int, steps: int) -> int:
    """How many paths of so many steps have fields as large as `chunk` paths of the usual 50; at least one.

    >>> held_at_once(16, 50), held_at_once(16, 5), held_at_once(1, 1000)
    (16, 160, 1)
    """
    return max(1, chunk * USUAL_STEPS // max(1, steps))


def widest(device: torch.device) -> torch.dtype:
    """The precision that sums are taken in: double, where the device has it (Apple's have not)."""
    return torch.float32 if device.type == "mps" else torch.float64
