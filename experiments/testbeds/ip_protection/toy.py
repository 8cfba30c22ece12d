"""Tiny networks with a known lineage, made on the spot: for tests, documentation and trying out a method in seconds."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial

import torch
from torch import nn

from experiments.interfaces import Samples, Zoo, ZooModel
from experiments.networks.perturbed import perturbed
from experiments.samples.toy import toy as images
from experiments.testbeds.ip_protection.given import Watermark
from experiments.training.fit import fit


def toy(
    *,
    derived: Sequence[str],
    independent: Sequence[str],
    copies: int = 3,
    noise: float = 0.05,
    watermark: Watermark | None = None,
) -> Zoo:
    """A random victim, copies of it with slightly changed weights, and networks that share nothing with it.

    Args:
        derived: roles of the changed copies.
        independent: roles of the strangers.
        copies: models per role.
        noise: standard deviation of the change, relative to each weight tensor's own.
        watermark: what the victim learns besides 64 images, all of which its owner tells; without, it learns nothing.
    """
    original = partial(network, 0) if watermark is None else partial(_copied, cache(partial(_learnt, watermark)))
    victim = ZooModel("victim", "victim", "toy", original, facts=partial(dict, accuracy=1.0))
    if watermark:
        victim = replace(victim, taught=_taught, triggers=watermark["triggers"])
    zoo = {"victim": victim}
    for number in range(copies):
        for role in derived:
            load = partial(perturbed, noise, _seed(role, number, derived), original)
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


def _taught() -> Samples:
    return images(size=64, seed=1)


def _learnt(watermark: Watermark) -> nn.Module:
    """The victim with a watermark; every image by heart."""
    train = partial(fit, epochs=40, rate=1e-2)
    model, (inputs, labels) = network(0).train(), _taught()
    return watermark["learn"](model, inputs, labels, train=train, triggers=watermark["triggers"], seed=0)


def _copied(made: Callable[[], nn.Module]) -> nn.Module:
    return copy.deepcopy(made())


def _seed(role: str, number: int, roles: Sequence[str]) -> int:
    return 1 + roles.index(role) + number * len(roles)
