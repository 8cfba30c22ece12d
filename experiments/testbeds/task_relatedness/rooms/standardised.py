"""Scenes with targets of a common scale: what encoders and probes learn."""

from functools import cache as remember
from typing import NamedTuple

from torch import Tensor

from experiments.testbeds.task_relatedness.rooms import samples as rooms
from experiments.testbeds.task_relatedness.tasks import FAMILIES, TASKS

CONSTANT = 1e-6
"""Standard deviations up to this one are none."""


class Scenes(NamedTuple):
    """Images (n, 3, size, size) in [0, 1] and, by task, standardised targets."""

    images: Tensor
    targets: dict[str, Tensor]

    def to(self, device: str) -> "Scenes":
        """The same scenes on that device."""
        return Scenes(self.images.to(device), {task: target.to(device) for task, target in self.targets.items()})


@remember
def standardised(part: str, *, cache: str, scale: str, seed: int) -> Scenes:
    """Images and residuals of the targets from the mean map of the training scenes, with mean square 1 there.

    Numbers of geometric tasks have units of their own and are scaled one by one; the channels of any other task
    together, lest the rarest class weigh most. Numbers that are the same in all training scenes are left out: a camera
    that never rolls has the room's upward axis nowhere to its right, and nothing is learnt or transferred there.
    """
    train = rooms.load("train", cache=cache, scale=scale, seed=seed)
    here = rooms.load(part, cache=cache, scale=scale, seed=seed)
    residuals = {}
    for task in TASKS:
        mean = train.targets[task].float().mean(0)
        spread = (train.targets[task].float() - mean).square()
        residual = here.targets[task].float() - mean
        if task in FAMILIES["geometric"]:
            size = spread.mean(0)
            varies = size.sqrt() > CONSTANT
            residuals[task] = residual[:, varies] / size[varies].sqrt()
        else:
            residuals[task] = residual / spread.mean().sqrt().clamp_min(CONSTANT)
    return Scenes(here.images, residuals)
