"""Distances in units of what independent models show, and a verdict on each suspect at a stated rate of false alarms.

Strangers of one architecture, or of one task, are at a typical distance that says nothing of lineage. Models that the
owner has trained by itself show it, with its spread; they are never scored.
"""

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control, t

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
    return as_written(_told(suspects, held_out, within)["units"])


def conformal_p_values(suspects: pd.DataFrame, held_out: pd.DataFrame, *, within: tuple[str, ...]) -> pd.Series:
    """How often an independent model would be as near, by rank among the held-out ones; arguments as `in_units`.

    A held-out model has one peer fewer than a suspect of its kind, and units of fewer peers have heavier tails. So what
    is ranked is how far out Student's prediction by its own peers has each: were distances normal, a stranger's place
    would be drawn as a held-out model's is.
    """
    return p_values(*(as_written(_places(_told(models, held_out, within))) for models in (suspects, held_out)))


def _told(suspects: pd.DataFrame, held_out: pd.DataFrame, within: tuple[str, ...]) -> pd.DataFrame:
    """Of each suspect `units`, and by how many `peers`."""
    found = {}
    for shared, models in suspects.groupby(list(within), sort=False):
        alike = held_out[(held_out[list(within)] == list(shared)).all(axis=1)]
        if len(alike) <= ENOUGH:
            alike = held_out[held_out["task"] == models["task"].iloc[0]]
        distances = alike["distance"].to_numpy(float)
        for name, distance in models["distance"].items():
            peers = distances[alike.index != name]
            if len(peers) < 2:
                raise ValueError(
                    f"{name}: its task, {models['task'].iloc[0]}, has {len(peers)} held-out models, and a spread needs "
                    "two: give the zoo more (testbed.zoo.numbers.held_out)"
                )
            spread = peers.std(ddof=1)
            # All equal, as untrained networks of one family are: then a difference counts as it is.
            spread = spread if spread > 1e-6 * max(1.0, np.abs(peers).max()) else 1.0
            found[name] = {"units": (distance - peers.mean()) / spread, "peers": len(peers)}
    return pd.DataFrame.from_dict(found, orient="index").loc[suspects.index].astype(float)


def _places(told: pd.DataFrame) -> pd.Series:
    """Student's cumulative probability of one more draw (Geisser, Predictive Inference, 1993, section 2.1.1)."""
    return pd.Series(t.cdf(told["units"] / np.sqrt(1 + 1 / told["peers"]), told["peers"] - 1), index=told.index)


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
            found.update(conformal_p_values(unseen, others, within=("task",)))
    return found
