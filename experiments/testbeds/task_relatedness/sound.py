"""A second score beside the full one: without encoders that hardly learnt their task and targets without a truth.

Arithmetic over records: nothing is measured anew, and the full score stays what it is.
"""

from collections.abc import Iterable
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from experiments.statistics import ranking
from experiments.statistics.intervals import Estimate

LEARNT = 0.3
"""Share of the mean predictor's error that an encoder has to remove with its decoder on held-out scenes. Chosen after
the fact, in the widest gap; a random encoder removes next to nothing."""
AGREES = 0.5
"""Spearman between two measurements of a target's affinities, from halves of the scenes, or else from two zoos."""


class Unsound(NamedTuple):
    """What a second score leaves out, with what speaks against it."""

    encoders: pd.Series
    """Share of error removed, by task; out as source and as target."""
    targets: pd.Series
    """Agreement of the truth with itself, by task; out as target."""


def unsound(metrics: Iterable[dict[str, float]], truths: list[pd.DataFrame]) -> Unsound:
    """What the records of some runs, and their affinities between tasks, say of their encoders and targets.

    The agreement of halves is in records that have it (`self/<task>`); where none has, zoos are compared, if there are
    two.
    """
    metrics = list(metrics)
    learnt, halves = (_by_task(metrics, kind) for kind in ("learnt", "self"))
    between = [ranking.column_correlation(-b, a, diagonal=False) for a, b in combinations(truths, 2)]
    agreement = halves if len(halves) else pd.DataFrame(between).mean()
    weak = learnt[learnt < LEARNT]
    return Unsound(weak, agreement[agreement < AGREES].drop(weak.index, errors="ignore"))


def score(distance: pd.DataFrame, affinity: pd.DataFrame, without: Unsound) -> Estimate:
    """Mean column-wise Spearman without diagonal over what is left, with its bootstrap interval over targets.

    Raises:
        ValueError: if fewer than four encoders or two targets are left.
    """
    left = [task for task in affinity if task not in without.encoders]
    found = ranking.column_correlation(distance.loc[left, left], affinity.loc[left, left], diagonal=False)
    return ranking.over_targets(found.drop(without.targets.index, errors="ignore"))


def dimensions(affinity: pd.DataFrame) -> float:
    """How many independent targets the targets are worth: the participation ratio of their correlations, 1 to all.

    (sum of eigenvalues)^2 / sum of their squares, of the Spearman correlations between columns.

    >>> dimensions(pd.DataFrame([[1.0, 1, 3], [2, 2, 1], [3, 3, 2], [4, 4, 4]]))
    1.6
    """
    values = np.linalg.eigvalsh(affinity.corr("spearman").to_numpy())
    return round(float(values.sum() ** 2 / (values**2).sum()), 1)


def _by_task(metrics: list[dict[str, Any]], kind: str) -> pd.Series:
    """Means over records of the metrics `kind/<task>`."""
    start = f"{kind}/"
    rows = [{key.removeprefix(start): x for key, x in one.items() if key.startswith(start)} for one in metrics]
    return pd.DataFrame(rows, dtype=float).mean()
