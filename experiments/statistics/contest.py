"""Is one method better than another? Their AUCs on the same models, zoo by zoo, as pure functions over distances."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from experiments.statistics.intervals import resampled_means
from experiments.statistics.ranking import Difference


class Sides(NamedTuple):
    """One zoo's distances by one method."""

    near: np.ndarray
    """Of the models to be found, in an order that is the same for all methods."""
    far: np.ndarray
    """Of those that they are to be told from, likewise."""


def paired_difference(
    ours: Sequence[Sides], theirs: Sequence[Sides], *, draws: int = 10_000, seed: int = 0
) -> Difference:
    """How much larger the mean over zoos of our AUC is, with the interval of a bootstrap of zoos, then of models.

    Both methods are judged on the same draw, of the same models, so that what makes a zoo easy or hard for both drops
    out. Percentiles of `draws`; p is twice the share of draws on the wrong side of 0, at least 2 / (draws + 1). Five
    zoos are few: such an interval is rough.

    Args:
        ours: of each zoo; small = related.
        theirs: of the same zoos and models.
        draws: of the bootstrap.
        seed: of the draws.

    Raises:
        ValueError: if zoos or models differ in number, or there are none.

    >>> zoo = Sides(np.array([0.1, 0.2]), np.array([0.7, 0.8]))
    >>> paired_difference([zoo], [zoo])
    Difference(value=0.0, low=0.0, high=0.0, p=1.0)
    """
    if not ours or len(ours) != len(theirs):
        raise ValueError(f"{len(ours)} and {len(theirs)} zoos cannot be paired")
    gains = []
    for mine, other in zip(ours, theirs, strict=True):
        if (len(mine.near), len(mine.far)) != (len(other.near), len(other.far)) or not len(mine.near) * len(mine.far):
            raise ValueError("both methods must have been shown the same models of a zoo, on both sides")
        gains.append(_nearer(mine) - _nearer(other))
    means = resampled_means(gains, draws, seed)
    low, high = np.quantile(means, [0.025, 0.975])
    wrong = min((means <= 0).mean(), (means >= 0).mean())
    value = float(np.mean([gain.mean() for gain in gains]))
    return Difference(value, float(low), float(high), float(min(1.0, 2 * max(wrong, 1 / (draws + 1)))))


def _nearer(sides: Sides) -> np.ndarray:
    """Of each pair of a far and a near model whether the near one is nearer: 1, 0, or 1/2 at a tie."""
    return (np.sign(np.subtract.outer(sides.far, sides.near)) + 1) / 2
