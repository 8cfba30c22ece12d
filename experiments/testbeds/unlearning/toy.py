"""Tiny networks that know, or never saw, a class, made on the spot: for tests and trying out a verifier in seconds."""

import copy
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import torch
from sklearn.linear_model import Ridge
from torch import nn

from experiments.interfaces import Pools, Zoo, ZooModel, labels_of
from experiments.queries.samples import pick
from experiments.testbeds.unlearning.facts import known

FORGOTTEN = ("retrain", "retrain_same_start", "rollback", "retrain_calibrate", "retrain_tune")


def toy_forgetting(*, pools: Callable[[], Pools], kept: Sequence[str], judged: Sequence[str], copies: int = 3) -> Zoo:
    """Networks with random features and a fitted head: on all images, or on those to retain.

    Args:
        pools: () -> images to forget and to retain.
        kept: roles of models whose heads are fitted to all images.
        judged: roles of models whose heads are fitted to the retained images and a part of those to forget.
        copies: models per role.
    """
    roles = dict.fromkeys(FORGOTTEN, 0.0) | dict.fromkeys(judged, 0.1) | dict.fromkeys(kept, 1.0)
    found = {}
    for position, (role, share) in enumerate(roles.items()):
        for number in range(copies):
            found[f"{role}-{number}"] = (role, share, 1 + position + number * len(roles))
    for role in ("reference", "rollback_reference"):
        found[role] = (role, 1.0, 0)
    return {
        name: ZooModel(
            name, role, "toy", partial(fitted, seed, share, pools), facts=partial(_facts, seed, share, pools)
        )
        for name, (role, share, seed) in found.items()
    }


@cache
def _made(seed: int, share: float, pools: Callable[[], Pools]) -> nn.Sequential:
    given = pools()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        features = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.SiLU(), nn.AvgPool2d(2), nn.Flatten())
        head = nn.Linear(128, given.classes)
    count = len(given.retain.inputs) + round(share * len(given.forget.inputs))
    shown = pick(given.everything(), torch.arange(count))
    with torch.no_grad():
        goal = 6 * nn.functional.one_hot(labels_of(shown, "shown"), given.classes) - 3
        # The bias is a penalised weight like any other, or an output that is never wanted would ignore its input.
        rows = nn.functional.pad(features(shown.inputs), (0, 1), value=1).double()
        solution = torch.from_numpy(Ridge(alpha=0.1, fit_intercept=False).fit(rows.numpy(), goal.numpy()).coef_)
        head.weight.copy_(solution[:, :-1])
        head.bias.copy_(solution[:, -1])
    return nn.Sequential(*features, head).eval()


def fitted(seed: int, share: float, pools: Callable[[], Pools]) -> nn.Module:
    """Random convolutional features under a head fitted by ridge regression to the images and a share of the rest."""
    return copy.deepcopy(_made(seed, share, pools))


def _facts(seed: int, share: float, pools: Callable[[], Pools]) -> dict[str, Any]:
    return known(_made(seed, share, pools), pools())
