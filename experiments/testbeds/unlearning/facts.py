"""What the testbed asks about every model of its zoo: accuracies on all pools, and how sure it is of the forgotten."""

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from experiments.interfaces import POOLS, Pools, labels_of
from experiments.networks.forward import accuracy, log_odds, predictions
from experiments.statistics.contest import Sides

REMEMBERED = 500
"""For how many forgotten training images a model's facts hold its log-odds."""
DIGITS = 3
"""Of a log-odds there, behind the point."""


def accuracies(model: nn.Module, pools: Pools) -> dict[str, float]:
    """Share of images classified right, for every pool."""
    return {name: accuracy(model, *getattr(pools, name)) for name in POOLS}


def known(model: nn.Module, pools: Pools) -> dict[str, Any]:
    """Accuracies on all pools, and log-odds of the true class for forgotten training images."""
    shares = accuracies(model, pools)
    outputs = predictions(model, pools.forget.inputs[:REMEMBERED])
    odds = log_odds(outputs, labels_of(pools.forget, "forget")[:REMEMBERED])
    return {
        **{f"accuracy_{name}": share for name, share in shares.items()},
        "accuracy": shares["retain_unseen"],
        "log_odds": [round(value, DIGITS) for value in odds.tolist()],
    }


def twins(facts: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Pairs of models that are one, whatever made them: whose facts agree but for the rounding of log-odds.

    An edit that no seed changes, or that no verifier of probabilities can see, would count each copy as one more model.
    """
    odds = {name: np.array(known["log_odds"]) for name, known in facts.items()}
    shares = {name: [known[f"accuracy_{pool}"] for pool in POOLS] for name, known in facts.items()}
    return [
        (one, other)
        for one, other in combinations(facts, 2)
        if shares[one] == shares[other] and np.abs(odds[one] - odds[other]).max() <= 2.5 * 10**-DIGITS
    ]


def told(suspects: pd.DataFrame, testbed: Mapping[str, Any]) -> Sides:
    """Distances from retrained models, of those that truly never saw the images and of all others.

    Args:
        suspects: the table of a run, with role and `retrains`; what has no distance certifies nothing, and ranks last.
        testbed: its configuration, which names the roles.
    """
    ranked = suspects["retrains"].fillna(suspects["retrains"].max() + 1)
    forgotten, aside = (suspects["role"].isin(list(testbed[name])) for name in ("forgotten", "aside"))
    return Sides(ranked[forgotten].to_numpy(), ranked[~forgotten & ~aside].to_numpy())
