"""Estimates with intervals, as pure functions over arrays of distances (small = related)."""

from collections.abc import Sequence
from functools import lru_cache
from math import floor
from typing import NamedTuple

import numpy as np
import pandas as pd

Distances = Sequence[float] | np.ndarray


class Estimate(NamedTuple):
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float


def named(name: str, estimate: Estimate) -> dict[str, float]:
    """An estimate as three metrics: its value under the name, its ends under `/low` and `/high`."""
    return {name: estimate.value, f"{name}/low": estimate.low, f"{name}/high": estimate.high}


def auc(related: Distances, unrelated: Distances) -> Estimate:
    """P(a related model is nearer than an unrelated one), ties half: 1 perfect, 0.5 chance, 0 reversed.

    The interval is Newcombe's method 5 (Statistics in Medicine 25:559, 2006): the score-like inversion of the
    Hanley-McNeil variance. It stays inside [0, 1] and has width at an AUC of 0 or 1, where DeLong's and the
    bootstrap's collapse. It treats models as independent draws; models of one recipe are less than that.

    >>> auc([0.1, 0.2], [0.7, 0.8, 0.9]).value
    1.0
    """
    from sklearn.metrics import roc_auc_score  # only here, as in all of this file: finished runs do without

    _need(related, unrelated)
    labels = np.r_[np.ones(len(related)), np.zeros(len(unrelated))]
    value = float(roc_auc_score(labels, -np.r_[related, unrelated]))
    return _newcombe(value, len(related), len(unrelated))


def _newcombe(value: float, related: int, unrelated: int) -> Estimate:
    from scipy.optimize import brentq
    from scipy.stats import norm

    product, smoothing = related * unrelated, (related + unrelated) / 2 - 1
    critical = float(norm.ppf(0.975))

    def excess(theta: float) -> float:
        spread = 1 + smoothing * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        return (theta - value) ** 2 - critical**2 * theta * (1 - theta) * spread / product

    # At 0 and 1 the value itself solves the equation; the interval's other end is the root beyond it.
    inside = float(np.clip(value, 1e-9, 1 - 1e-9))
    low = 0.0 if value == 0 else float(brentq(excess, 0, inside))  # pyright: ignore[reportArgumentType]
    high = 1.0 if value == 1 else float(brentq(excess, inside, 1))  # pyright: ignore[reportArgumentType]
    return Estimate(value, low, high)


def clustered_auc(zoos: Sequence[tuple[Distances, Distances]], *, draws: int = 2000, seed: int = 0) -> Estimate:
    """The mean over zoos of their AUC, with the interval of a bootstrap that draws zoos, and then models within them.

    Percentiles of `draws` (Davison and Hinkley, Bootstrap Methods, 1997, section 3.8). With few zoos that is rough, and
    where every zoo says 0 or 1 it collapses: so the interval is never narrower than that of as many models without
    zoos, `auc`'s.

    Args:
        zoos: of each the distances of related and of unrelated models.
        draws: of the bootstrap.
        seed: of the draws.

    >>> clustered_auc([([0.1, 0.2], [0.7, 0.8]), ([0.1, 0.9], [0.5, 0.6])]).value
    0.75
    """
    _need(zoos, zoos)
    nearer = []
    for related, unrelated in zoos:
        _need(related, unrelated)
        difference = np.subtract.outer(np.asarray(unrelated, float), np.asarray(related, float))
        nearer.append((np.sign(difference) + 1) / 2)
    low, high = np.quantile(resampled_means(nearer, draws, seed), [0.025, 0.975])
    value = float(np.mean([zoo.mean() for zoo in nearer]))
    apart = _newcombe(value, sum(len(near) for near, _ in zoos), sum(len(far) for _, far in zoos))
    return Estimate(value, min(float(low), apart.low), max(float(high), apart.high))


def resampled_means(pairs: Sequence[np.ndarray], draws: int, seed: int) -> np.ndarray:
    """Means over zoos of their pairs' mean, (draws,): each time zoos are drawn, then models on both of their sides.

    Args:
        pairs: of each zoo a matrix (models on one side, models on the other).
        draws: how often.
        seed: of the draws; zoos of the same sizes are drawn alike, whatever is in them.
    """
    chosen, weights = _drawn(tuple(zoo.shape for zoo in pairs), draws, seed)
    drawn = np.empty(chosen.shape)
    for zoo, (values, (rows, columns)) in enumerate(zip(pairs, weights, strict=True)):
        drawn[chosen == zoo] = ((rows @ values) * columns).sum(1)
    return drawn.mean(1)


@lru_cache(maxsize=8)  # a page asks hundreds of times for the same draws, which take longer than what is done with them
def _drawn(
    sizes: tuple[tuple[int, ...], ...], draws: int, seed: int
) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """Which zoos were drawn (draws, zoos), and for each zoo's turns how much its models weigh on either side."""
    random = np.random.default_rng(seed)
    chosen = random.integers(len(sizes), size=(draws, len(sizes)))
    turns = [int((chosen == zoo).sum()) for zoo in range(len(sizes))]
    weights = [
        (
            random.multinomial(first, np.full(first, 1 / first), times) / first,
            random.multinomial(second, np.full(second, 1 / second), times) / second,
        )
        for (first, second), times in zip(sizes, turns, strict=True)
    ]
    return chosen, weights


def proportion(successes: int, trials: int) -> Estimate:
    """A share with its exact (Clopper-Pearson) interval.

    >>> proportion(20, 20).low > 0.83
    True
    """
    from scipy.stats import binomtest

    interval = binomtest(successes, trials).proportion_ci(0.95, method="exact")
    return Estimate(successes / trials, float(interval.low), float(interval.high))


def tpr_at_fpr(related: Distances, unrelated: Distances, rate: float) -> Estimate:
    """Share of related models nearer than a threshold that lets at most `rate` of the unrelated ones through.

    With fewer than 1 / rate unrelated models the threshold lies below all of them.
    """
    _need(related, unrelated)
    return proportion(int((np.asarray(related) < threshold(unrelated, rate)).sum()), len(related))


def threshold(unrelated: Distances, rate: float) -> float:
    """The distance that at most a share `rate` of the unrelated models stay below.

    >>> threshold([0.3, 0.1, 0.2, 0.4], 0.25)
    0.2
    """
    return float(np.sort(unrelated)[floor(rate * len(unrelated))])


def margin(related: Distances, unrelated: Distances) -> float:
    """Nearest unrelated minus farthest related model: positive if one threshold separates them all."""
    _need(related, unrelated)
    return float(np.min(unrelated) - np.max(related))


def prediction_bound(values: Distances) -> float:
    """What a further draw of the same kind stays below with probability 0.95, if draws are normal.

    >>> round(prediction_bound([1.0, 1.0, 1.0]), 3)
    1.0
    """
    from scipy.stats import t

    if len(values) < 2:
        raise ValueError(f"a spread needs at least two values, not {len(values)}")
    count = len(values)
    return float(np.mean(values) + t.ppf(0.95, count - 1) * np.std(values, ddof=1) * np.sqrt(1 + 1 / count))


def mean(values: Distances, *, shares: bool = False) -> Estimate:
    """The mean of the values that are not NaN, with Student's interval; ends NaN for fewer than two of them.

    Args:
        values: any numbers.
        shares: each is 0 or 1, and their mean a share, whose exact interval has width where all are the same.

    >>> mean([1.0, 1.0, 1.0])
    Estimate(value=1.0, low=1.0, high=1.0)
    >>> round(mean([1.0, 1.0, 1.0], shares=True).low, 2)
    0.29
    """
    from scipy.stats import t

    known = np.asarray(values, float)
    known = known[~np.isnan(known)]
    if len(known) < 2:
        return Estimate(float(known.mean()) if len(known) else np.nan, np.nan, np.nan)
    if shares:
        return proportion(int(known.sum()), len(known))
    half = float(t.ppf(0.975, len(known) - 1) * known.std(ddof=1) / np.sqrt(len(known)))
    return Estimate(float(known.mean()), float(known.mean()) - half, float(known.mean()) + half)


def spearman(a: Distances, b: Distances) -> Estimate:
    """Rank correlation, -1 to 1, of the pairs without NaN; NaN if one side is constant or fewer than four are left.

    The interval is Bonett and Wright's (Psychometrika 65:23, 2000), on Fisher's scale. Where all pairs agree that scale
    has no end: the interval is then that of half a swap of neighbours less, 1 - 6 / (n^3 - n), and ends at 1 itself; so
    it has width, and the more the fewer the pairs.

    >>> four = spearman([1, 2, 3, 4], [1, 2, 3, 4])
    >>> four.value, round(four.low, 2), four.high
    (1.0, -0.73, 1.0)
    """
    from scipy.stats import norm, spearmanr

    first, second = np.asarray(a, float), np.asarray(b, float)
    known = np.isfinite(first) & np.isfinite(second)
    first, second = first[known], second[known]
    if len(first) < 4 or not np.ptp(first) or not np.ptp(second):
        return Estimate(np.nan, np.nan, np.nan)
    value, count = float(np.clip(spearmanr(first, second).statistic, -1, 1)), len(first)
    most = 1 - 6 / (count**3 - count)
    centre = np.arctanh(np.clip(value, -most, most))
    half = norm.ppf(0.975) * np.sqrt((1 + value**2 / 2) / (count - 3))
    low, high = float(np.tanh(centre - half)), float(np.tanh(centre + half))
    return Estimate(value, -1.0 if value <= -most else low, 1.0 if value >= most else high)


def refuse_dead(table: pd.DataFrame) -> None:
    """Refuse distances (one row a pair) of which a pair has none at all.

    Raises:
        ValueError: naming the first such pair.
    """
    dead = table.index[table.isna().all(axis=1)]
    if len(dead):
        raise ValueError(
            f"no reference point is alive for {len(dead)} of {len(table)} pairs (first: {' / '.join(dead[0])}): "
            "one of the two models does not depend on its input there, or so little that half precision loses it; "
            "leave it out of the zoo, or follow another output (testbed.readout)"
        )


def _need(related: Distances, unrelated: Distances) -> None:
    if not len(related) or not len(unrelated):
        raise ValueError(
            f"an AUC needs models on both sides, not {len(related)} related and {len(unrelated)} unrelated"
        )
