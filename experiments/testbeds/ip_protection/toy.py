"""Tiny networks with a known lineage, made on the spot: for tests, documentation and trying out a method in seconds."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import nn

from experiments.interfaces import Zoo, ZooModel
from experiments.networks.perturbed import perturbed


def toy(*, derived: Sequence[str], independent: Sequence[str], copies: int = 3, noise: float = 0.05) -> Zoo:
    """A random victim, copies of it with slightly changed weights, and networks that share nothing with it.

    Args:
        derived: roles of the changed copies.
        independent: roles of the strangers.
        copies: models per role.
        noise: standard deviation of the change, relative to each weight tensor's own.
    """
    zoo = {"victim": ZooModel("victim", "victim", "toy", partial(network, 0), facts=partial(dict, accuracy=1.0))}
    for number in range(copies):
        for role in derived:
            load = partial(perturbed, noise, _seed(role, number, derived), partial(network, 0))
            zoo[f"{role}-{number}"] = ZooModel(
                f"{role}-{number}", role, "toy", load, facts=partial(dict, accuracy=1.0, fidelity=1.0)
            )
        for role in independent:
            load = partial(network, 1000 + _seed(role, number, independent))
            zoo[f"{role}-{number}"] = ZooModel(
                f"{role}-{number}", role, "toy", load, facts=partial(dict, accuracy=0.1, fidelity=0.1)
            )
    return zoo


def network(seed: int) -> nn.Module:
    """A small smooth convolutional classifier of grey 8 x 8 images with ten classes and random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [nn.Conv2d(1, 8, 3, padding=1), nn.SiLU(), nn.Conv2d(8, 8, 3, 2), nn.SiLU(), nn.Flatten()]
        return nn.Sequential(*layers, nn.Linear(72, 10)).eval()


def _seed(role: str, number: int, roles: Sequence[str]) -> int:
    return 1 + roles.index(role) + number * len(roles)
