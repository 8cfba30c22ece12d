"""Agreement of a distance between tasks with how well they transfer, as pure functions over square tables.

Everywhere rows are sources and columns targets, a small distance and a high affinity mean related, and each target is
a question of its own: which sources serve it best?
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import bootstrap, permutation_test, spearmanr

from experiments.statistics.intervals import Estimate


class Difference(NamedTuple):
    """A mean difference, its 95 % interval and the p-value of there being none."""

    value: float
    low: float
    high: float
    p: float


def check(distance: pd.DataFrame, affinity: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both tables, rows and columns in the order of the distance's rows.

    Raises:
        ValueError: if the tasks on the four axes differ or repeat, are fewer than four, or a value is not finite.
    """
    tasks = distance.index
    axes = {"distance": (distance.index, distance.columns), "affinity": (affinity.index, affinity.columns)}
    for name, both in axes.items():
        for kind, axis in zip(("rows", "columns"), both, strict=True):
            extra, missing = (sorted(map(str, names)) for names in (set(axis) - set(tasks), set(tasks) - set(axis)))
            if extra or missing:
                raise ValueError(
                    f"{name} and distance need the same tasks on rows and columns: only {name}'s {kind} have "
                    f"[{', '.join(extra)}], only distance's rows have [{', '.join(missing)}]"
                )
            if not axis.is_unique:
                raise ValueError(f"{name}'s {kind} repeat the task {axis[axis.duplicated()][0]}")
    if len(tasks) < 4:
        raise ValueError(f"a ranking of sources needs at least four tasks, not {len(tasks)}")
    distance, affinity = (table.loc[tasks, tasks].astype(float) for table in (distance, affinity))
    for name, table in {"distance": distance, "affinity": affinity}.items():
        broken = np.argwhere(~np.isfinite(table.to_numpy()))
        if len(broken):
            row, column = broken[0]
            raise ValueError(f"{name} from {tasks[row]} to {tasks[column]} is not finite")
    return distance, affinity


def column_correlation(
    distance: pd.DataFrame, affinity: pd.DataFrame, *, diagonal: bool, statistic: Callable[..., Any] = spearmanr
) -> pd.Series:
    """Correlation of minus distance with affinity over the sources of each target: 1 best, 0 chance, -1 reversed.

    NaN where one of the two is the same for all sources. Song et al. (2023) and DDS (Dwivedi et al., 2020) count the
    diagonal; it flatters, because everything is nearest to itself: a random symmetric distance then scores about 0.17
    on 17 tasks.

    Args:
        distance: (tasks, tasks), small = related.
        affinity: (tasks, tasks), high = transfers better.
        diagonal: whether a target is among its own sources.
        statistic: `spearmanr`, `kendalltau` or `pearsonr` of scipy.stats, or another with the same result type.
    """
    distance, affinity = check(distance, affinity)

    def correlation(target: str) -> float:
        sources = distance.index if diagonal else distance.index.drop(target)
        near, good = -distance.loc[sources, target], affinity.loc[sources, target]
        constant = near.nunique() == 1 or good.nunique() == 1
        return np.nan if constant else float(statistic(near, good).statistic)

    return pd.Series({target: correlation(target) for target in distance})


def precision_at_k(distance: pd.DataFrame, affinity: pd.DataFrame, k: int, *, relevant: int = 5) -> pd.Series:
    """Share of each target's k nearest sources that are among its best ones, from 0 to 1 (Song et al., 2019).

    A target is no source of its own. Equal values rank by the tasks' names. Where there are fewer sources than k, all
    of them count.

    Args:
        distance: (tasks, tasks), small = related.
        affinity: (tasks, tasks), high = transfers better.
        k: how many sources the distance may name.
        relevant: how many sources count as best: 5 in the literature; 1 with k = 1 asks for the single best.
    """
    for name, number in {"k": k, "relevant": relevant}.items():
        if number < 1:
            raise ValueError(f"{name} must be at least 1, not {number}")
    distance, affinity = (table.sort_index() for table in check(distance, affinity))

    def precision(target: str) -> float:
        near, good = distance[target].drop(target), -affinity[target].drop(target)
        named = near.sort_values(kind="stable").index[:k]
        return float(named.isin(good.sort_values(kind="stable").index[:relevant]).mean())

    return pd.Series({target: precision(target) for target in distance.columns})


def over_targets(scores: pd.Series, *, seed: int = 0, draws: int = 10_000) -> Estimate:
    """Mean over the targets that have a score, with a percentile bootstrap interval over targets.

    Raises:
        ValueError: if fewer than two targets have a score.

    >>> over_targets(pd.Series({"depth": 0.8, "normals": 0.8, "edges": np.nan})).value
    0.8
    """
    values = scores.dropna().to_numpy(float)
    if len(values) < 2:
        raise ValueError(
            f"a mean over targets needs at least two with a score; {len(values)} of {len(scores)} have one"
        )
    random = np.random.default_rng(seed)
    low, high = bootstrap((values,), np.mean, n_resamples=draws, method="percentile", rng=random).confidence_interval
    return Estimate(float(values.mean()), float(low), float(high))


def paired_difference(a: pd.Series, b: pd.Series, *, seed: int = 0) -> Difference:
    """Mean of a - b over the targets that both score, bootstrap interval, two-sided p of random signs per target.

    Raises:
        ValueError: if the two name different targets, or fewer than two targets have both scores.
    """
    if set(a.index) != set(b.index):
        odd = sorted(map(str, set(a.index) ^ set(b.index)))
        raise ValueError(f"a paired difference needs the same targets; only one side has {', '.join(odd)}")
    differences = (a - b).dropna()
    estimate = over_targets(differences, seed=seed)
    # One sample in permutation type "samples" is scipy's sign flip: exact for few targets, random draws for many.
    flipped = permutation_test(
        (differences.to_numpy(float),), np.mean, permutation_type="samples", vectorized=True, rng=seed
    )
    return Difference(*estimate, float(flipped.pvalue))


def holm(p_values: pd.Series) -> pd.Series:
    """P-values adjusted for being several (Holm, 1979): a family-wise level alpha rejects those up to alpha.

    Undefined ones stay undefined and do not count.

    >>> holm(pd.Series({"a": 0.01, "b": 0.04, "c": 0.03})).to_dict()
    {'a': 0.03, 'b': 0.06, 'c': 0.06}
    """
    ordered = p_values.dropna().sort_values()
    steps = np.arange(len(ordered), 0, -1)
    return (ordered * steps).cummax().clip(upper=1).reindex(p_values.index)


def mantel(distance: pd.DataFrame, affinity: pd.DataFrame, *, permutations: int = 2000, seed: int = 0) -> float:
    """One-sided p-value of the mean column Spearman without diagonal: small = nearer sources do transfer better.

    The null relabels the tasks of the distance, rows and columns together (Mantel, 1967); the observed labels count as
    one of the draws, so p is at least 1 / (permutations + 1). A constant column counts as a correlation of zero.
    """
    near, good = (_unit_ranks(table) for table in check(-distance, affinity))
    tasks = np.arange(len(near))
    relabelled = np.random.default_rng(seed).permuted(np.tile(tasks, (permutations, 1)), axis=1)
    null = np.einsum("pst,st->p", near[relabelled[:, :, None], relabelled[:, None, :]], good)
    # Equal statistics may differ in their last bit, by the order of summation.
    reached = int((null >= (near * good).sum() - 1e-9).sum())
    return (reached + 1) / (permutations + 1)


def _unit_ranks(table: pd.DataFrame) -> np.ndarray:
    """Ranks within each column without diagonal, centred, of length one: the sum of products is a Spearman."""
    ranks = table.mask(np.eye(len(table), dtype=bool)).rank()
    centred = ranks - ranks.mean()
    return (centred / np.sqrt((centred**2).sum())).fillna(0).to_numpy()
