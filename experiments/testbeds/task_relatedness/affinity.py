"""How well tasks transfer: matrices of affinity, rows sources and columns targets, higher = transfers better."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from experiments.interfaces import Zoo
from experiments.storage import tables


class Truth(NamedTuple):
    """An affinity and, if it was measured here, the two that come of halves of the images."""

    affinity: pd.DataFrame
    halves: tuple[pd.DataFrame, pd.DataFrame] | None = None


def gain(errors: np.ndarray) -> np.ndarray:
    """Share of the mean predictor's error that a source removes: 1 perfect, 0 useless, below 0 harmful.

    Args:
        errors: (sources, targets, images), in units of the mean predictor's error on the training scenes.
    """
    return 1 - errors.mean(2)


def ordinal(errors: np.ndarray) -> np.ndarray:
    """Taskonomy's normalisation (Zamir et al., 2018, section 3.3): how often a source beats the others, per target.

    The matrix of wins between sources, kept within 0.001 and 0.999 and divided by its transpose, has a principal
    eigenvector whose entries, summing to one, are the affinities (analytic hierarchy process).

    Args:
        errors: (sources, targets, images).
    """
    columns = []
    for target in errors.transpose(1, 0, 2):
        wins = (target[:, None] < target[None, :]).mean(2) + 0.5 * (target[:, None] == target[None, :]).mean(2)
        wins = wins.clip(0.001, 0.999)
        values, vectors = np.linalg.eig(wins / wins.T)
        principal = np.abs(vectors[:, values.real.argmax()].real)
        columns.append(principal / principal.sum())
    return np.stack(columns, axis=1)


def measured(zoo: Zoo, *, normalise: str) -> Truth:
    """The affinity that the zoo's own encoders show on held-out scenes.

    Args:
        zoo: models whose facts hold `transfer`: the errors of probes on their frozen features.
        normalise: `gain` or `ordinal`.
    """
    known = {"gain": gain, "ordinal": ordinal}
    if normalise not in known:
        raise ValueError(f"affinity.normalise must be one of {', '.join(known)}, not {normalise!r}")
    parts = {name: model.facts()["transfer"] for name, model in zoo.items()}
    names = list(zoo)

    def matrix(part: str) -> pd.DataFrame:
        errors = torch.stack([torch.stack([parts[name][part][target] for target in names]) for name in names])
        return pd.DataFrame(known[normalise](errors.double().numpy()), names, names)

    return Truth(matrix("all"), (matrix("first_half"), matrix("second_half")))


def published(zoo: Zoo, *, file: str) -> Truth:
    """A published matrix of affinities, for the zoo of published encoders."""
    table = tables.published(file, index="task")
    missing = sorted(set(zoo) - set(table))
    if missing:
        raise ValueError(f"{file} knows no task {', '.join(missing)}; it has {', '.join(table)}")
    return Truth(table.loc[list(zoo), list(zoo)])


def as_square(mean: pd.Series, tasks: list[str]) -> pd.DataFrame:
    """Distances, (source, target) -> number, in a square; a pair that was asked one way round has it both ways."""
    square = mean.unstack().reindex(index=tasks, columns=tasks)
    return square.fillna(square.T)


def dissimilarity(affinity: pd.DataFrame) -> pd.DataFrame:
    """How far apart tasks are by their affinity: one minus the mean rank, over targets, of either as other's source.

    Ranks are taken within a target, from 0 (worst source) to 1 (best), so that easy targets do not weigh more.
    """
    ranks = (affinity.rank() - 1) / (len(affinity) - 1)
    return (1 - (ranks + ranks.T) / 2).mask(np.eye(len(ranks), dtype=bool), 0)
