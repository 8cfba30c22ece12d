"""Encoders in families with a known affinity, made on the spot: for tests and trying things out in seconds."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from experiments.interfaces import Zoo, ZooModel
from experiments.networks.perturbed import perturbed


def toy_tasks(*, families: int = 3, members: int = 2, noise: float = 0.1, images: int = 40) -> Zoo:
    """Random encoders in families that share weights, with an affinity that knows the families.

    Args:
        families: groups of tasks.
        members: tasks of a group; their encoders are one network with slightly changed weights.
        noise: standard deviation of the change, relative to each weight tensor's own.
        images: for how many images the transfer errors are given.
    """
    names = [f"task_{family}{member}" for family in range(families) for member in range(members)]
    zoo = {}
    for position, name in enumerate(names):
        load = partial(perturbed, noise, 1 + position, partial(encoder, position // members))
        facts = partial(_transfer, name, names, images)
        zoo[name] = ZooModel(name, "encoder", "toy", load, facts=facts)
    return zoo


def encoder(seed: int) -> nn.Module:
    """A small convolutional encoder of grey 8 x 8 images to feature maps (8, 4, 4), with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, padding=1), nn.ReLU()]
        return nn.Sequential(*layers).eval()


def _transfer(name: str, names: Sequence[str], images: int) -> dict[str, Any]:
    """Errors of this source for every target: least for itself, small within the family, otherwise by chance."""
    generator = torch.Generator().manual_seed(names.index(name))
    level = {target: 0.1 if target == name else 0.3 if target[:-1] == name[:-1] else 0.8 for target in names}
    spread = {target: 0.1 * torch.rand((), generator=generator) for target in names}
    return {
        "gain": 0.9,
        "transfer": {
            part: {t: level[t] + spread[t] + 0.02 * torch.rand(images, generator=generator) for t in names}
            for part in ("all", "first_half", "second_half")
        },
    }
