"""Derived, or not told apart from strangers: what declared strangers let be said of pairs, and how often it is wrong.

Either model of a pair is a suspect to the other, held against what the strangers are to that other. The larger of both
p-values counts: whichever of the two is like the strangers, it does so at the stated rate. Networks of one make are
nearer than others are even if they owe each other nothing: two of one make are held against strangers of that make.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from experiments.statistics.conformal import holm, normal_p_values, p_values

FEWEST = 3
"""Strangers that show how near independent models are."""


def judged(
    square: pd.DataFrame, names: Sequence[str], strangers: Sequence[str], level: float, makes: Mapping[str, str]
) -> pd.DataFrame:
    """A row for each two of the names: `p`, `p_holm`, `p_rank`, and the verdict, by distances (all, all), NaN unknown.

    `p` takes strangers' distances for normal, which three of them need; `p_rank` takes them for nothing, and is never
    below 1 / (1 + strangers). `derived` is a pair of which Holm's p is at most the level and that is nearer than every
    stranger is to either; all others are `not told apart` from strangers, which acquits nobody. Strangers are those
    whose `makes` are the pair's, where it has one make, and all of them where it has two. Fewer than three that can be
    compared with either judge nobody: no verdict.
    """
    pairs = list(combinations(names, 2))
    index = pd.MultiIndex.from_tuples(pairs, names=["first", "second"])
    table = pd.DataFrame(
        [p_of(square, *pair, strangers, makes) for pair in pairs], index, columns=["p", "p_rank"], dtype=float
    )
    known = table["p"].notna()
    table.insert(1, "p_holm", np.nan)
    table.loc[known, "p_holm"] = holm(table.loc[known, "p"])
    nearest = np.array(
        [all(square.loc[pair] < held.min() for held in _held(square, *pair, strangers, makes)) for pair in pairs]
    )
    table["verdict"] = np.where((table["p_holm"] <= level) & nearest, "derived", "not told apart")
    return table.assign(verdict=table["verdict"].where(known))


def p_of(
    square: pd.DataFrame, first: str, second: str, strangers: Sequence[str], makes: Mapping[str, str]
) -> tuple[float, float]:
    """How often a stranger would be as near to either, by Student's prediction and by rank; NaN if nobody knows."""
    either = _held(square, first, second, strangers, makes)
    distance = pd.Series([square.loc[first, second]])
    if distance.isna().any() or min(map(len, either)) < FEWEST:
        return np.nan, np.nan
    by_normal, by_rank = (max(rule(distance, held)[0] for held in either) for rule in (normal_p_values, p_values))
    return by_normal, by_rank


def accused_strangers(
    square: pd.DataFrame, names: Sequence[str], strangers: Sequence[str], level: float, makes: Mapping[str, str]
) -> float:
    """How often at most a stranger, held against the others, would be called derived of one of the names, without Holm.

    How often its `p` is at most the level, and what `p` is worth on these very models: it should be about the level.
    A pair that is called derived is also nearer than every stranger, which is not asked here. NaN with fewer than four
    strangers.
    """
    if len(strangers) <= FEWEST:
        return np.nan
    found = [
        p_of(square, name, stranger, [other for other in strangers if other != stranger], makes)[0]
        for stranger in strangers
        for name in names
    ]
    known = [p <= level for p in found if p == p]
    return float(np.mean(known)) if known else np.nan


def _held(
    square: pd.DataFrame, first: str, second: str, strangers: Sequence[str], makes: Mapping[str, str]
) -> list[pd.Series]:
    """The distances of the strangers to the one and to the other, as far as they are known."""
    if makes[first] == makes[second]:
        strangers = [name for name in strangers if makes[name] == makes[first]]
    return [square.loc[own, [name for name in strangers if name != own]].dropna() for own in (first, second)]
