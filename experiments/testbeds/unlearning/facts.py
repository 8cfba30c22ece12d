"""What the testbed asks about every model of its zoo: accuracies on all pools, and how sure it is of the forgotten."""

from typing import Any

from torch import nn

from experiments.interfaces import POOLS, Pools, labels_of
from experiments.networks.forward import accuracy, log_odds, predictions

REMEMBERED = 500
"""For how many forgotten training images a model's facts hold its log-odds."""


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
        "log_odds": [round(value, 3) for value in odds.tolist()],
    }
