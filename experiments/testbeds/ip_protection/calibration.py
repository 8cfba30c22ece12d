"""Distances in units of what independent models show, and a verdict on each suspect at a stated rate of false alarms.

Strangers of one architecture, or of one task, are at a typical distance that says nothing of lineage. Models that the
owner has trained by itself show it, with its spread; they are never scored.
"""

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control

from experiments.statistics.conformal import p_values
from experiments.storage.tables import as_written

ENOUGH = 3
"""Peers of a model that show a spread: of an architecture there must be one more held out, which is told by these."""


def in_units(suspects: pd.DataFrame, held_out: pd.DataFrame, *, within: tuple[str, ...]) -> pd.Series:
    """Each suspect's distance minus the mean of its peers' distances, in units of their standard deviation.

    Negative is nearer than strangers are. A suspect that is a held-out model itself is no peer of its own.

    Args:
        suspects: a row a model: `distance`, `task`, `architecture`.
        held_out: the same of independent models.
        within: what a peer shares with a suspect: ("task",) or ("task", "architecture"); the task alone where fewer
            than four held-out models share it all, for these and for suspects alike: p-values set both beside each
            other, so that both are told in the same units.

    Raises:
        ValueError: if no two held-out models have a suspect's task.
    """
    found = {}
    for name, suspect in suspects.iterrows():
        alike = held_out[(held_out[list(within)] == suspect[list(within)]).all(axis=1)]
        if len(alike) <= ENOUGH:
            alike = held_out[held_out["task"] == suspect["task"]]
        peers = alike.drop(index=name, errors="ignore")
        if len(peers) < 2:
            raise ValueError(
                f"{name}: its task, {suspect['task']}, has {len(peers)} held-out models, and a spread needs two: "
                "give the zoo more (testbed.zoo.numbers.held_out)"
            )
        distances = peers["distance"].to_numpy(float)
        spread = distances.std(ddof=1)
        # All equal, as untrained networks of one family are: then a difference counts as it is.
        spread = spread if spread > 1e-6 * max(1.0, np.abs(distances).max()) else 1.0
        found[name] = (suspect["distance"] - distances.mean()) / spread
    return as_written(pd.Series(found, dtype=float))


def false_discoveries(p: pd.Series) -> pd.Series:
    """The same, adjusted for the share of strangers among the accused (Benjamini and Hochberg, 1995).

    Conformal p-values of one set of held-out models allow it (Bates et al., Annals of Statistics 2023).
    """
    return pd.Series(false_discovery_control(p), index=p.index)


def unseen_p_values(suspects: pd.DataFrame, held_out: pd.DataFrame) -> pd.Series:
    """The same for an owner who knows no model of the suspect's architecture, and measures in units of its task alone.

    NaN where fewer than three held-out models of some task have another architecture.

    Args:
        suspects: a row a model: `distance`, `task`, `architecture`.
        held_out: the same of independent models.
    """
    found = pd.Series(np.nan, index=suspects.index)
    for architecture, unseen in suspects.groupby("architecture"):
        others = held_out[held_out["architecture"] != architecture]
        if others["task"].value_counts().reindex(held_out["task"].unique(), fill_value=0).min() >= ENOUGH:
            units, strangers = (in_units(models, others, within=("task",)) for models in (unseen, others))
            found.update(p_values(units, strangers))
    return found
