"""Which suspects are copies at all: two rules over the zoo's facts, fixed before any method is scored.

What is not a copy cannot be told from a stranger, and a method that finds nothing there is right. Both rules look at
answers, which favours methods that do.
"""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd

from experiments.interfaces import Zoo
from experiments.statistics.contest import Sides

KEPT = 0.9
"""Share of accuracy that a working copy keeps."""
KINDS = ("unrelated", "matched", "same_images", "elsewhere")
"""Of strangers: with images of their own, with the attackers' queries and true labels, with the victim's images, and
published by others."""


def strangers(zoo: Zoo, task: str, kind: str | None = None) -> list[str]:
    """Names of the strangers of a task: of one kind, or of all."""
    roles = [f"{one}_{task}" for one in ([kind] if kind else KINDS)]
    return [name for name, model in zoo.items() if model.role in roles]


def described(zoo: Zoo, attacks: Mapping[str, str], extractions: frozenset[str]) -> pd.DataFrame:
    """One row for each scored model, attacks first: role, task, architecture, accuracy, fidelity, divergence, copy.

    `copy` is 1 for a working or faithful copy, 0 for one that is none, NaN for strangers and where facts are missing.
    A derived model works if it keeps 90 % of the accuracy that the clean run reaches on its task: the victim's own, or
    that of the task's strangers of its architecture. An extracted one is faithful if its fidelity exceeds the median
    of the matched strangers of its architecture.
    """
    rows = {}
    for role, task in attacks.items():
        for name in (name for name, model in zoo.items() if model.role == role):
            rows[name] = _row(zoo, name, task)
    for task in sorted(set(attacks.values())):
        rows |= {name: _row(zoo, name, task) for name in strangers(zoo, task)}
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("suspect")
    derived = table["role"].isin(set(attacks) - extractions)
    for name, row in table[table["role"].isin(set(attacks))].iterrows():
        values, limit = _rule(zoo, table, row, derived=bool(derived[name]))
        if np.isfinite(values) and np.isfinite(limit):
            table.loc[name, "copy"] = float(values >= limit if derived[name] else values > limit)
    return table


def _row(zoo: Zoo, name: str, task: str) -> dict[str, object]:
    facts, model = zoo[name].facts(), zoo[name]
    measured = {key: facts.get(key, np.nan) for key in ("accuracy", "fidelity", "divergence")}
    return {"role": model.role, "task": task, "architecture": model.architecture, **measured, "copy": np.nan}


def _rule(zoo: Zoo, table: pd.DataFrame, row: pd.Series, *, derived: bool) -> tuple[float, float]:
    """What a model is judged by, and the limit."""
    peers = table[(table["task"] == row["task"]) & (table["architecture"] == row["architecture"])]
    if not derived:
        matched = peers[peers["role"] == f"matched_{row['task']}"]
        return row["fidelity"], matched["fidelity"].median()
    victim = next(model for model in zoo.values() if model.role == "victim")
    has_matched = table["role"].eq(f"matched_{row['task']}").any()
    own = victim.facts().get("accuracy", np.nan) if has_matched else np.nan
    clean = own if has_matched else peers[peers["role"] == f"unrelated_{row['task']}"]["accuracy"].mean()
    return row["accuracy"], KEPT * clean


def told_apart(
    suspects: pd.DataFrame, kind: str | None, *, which: str, extractions: Collection[str], alike: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Distances of copies and of strangers of the task that has all kinds of them, which is the victim's.

    Args:
        suspects: as `described`, with their distances.
        kind: of strangers, None for all.
        which: of the copies: `all`, `extracted` or `derived`.
        extractions: the attacks that extract.
        alike: only strangers of an architecture that the copies have.
    """
    own = suspects.loc[suspects["role"].str.startswith("matched_"), "task"].unique()
    mine = suspects[suspects["task"].isin(own)]
    stranger, extracted = mine["role"].str.startswith(KINDS), mine["role"].isin(extractions)
    wanted = {"all": ~stranger, "extracted": extracted, "derived": ~stranger & ~extracted}[which]
    near = mine[wanted & (mine["copy"] != 0)]
    far = mine[stranger & (mine["role"].str.startswith(f"{kind}_") if kind else True)]
    if alike:
        far = far[far["architecture"].isin(near["architecture"].unique())]
    return near["distance"].to_numpy(), far["distance"].to_numpy()


def accused(suspects: pd.DataFrame, kind: str, rate: float) -> list[bool]:
    """Of each stranger of a kind, whatever its task, whether its p-value is at most the rate."""
    strangers = suspects[suspects["role"].str.startswith(f"{kind}_")]
    return [*(strangers["p"].dropna() <= rate)]


def pooled(suspects: pd.DataFrame, testbed: Mapping[str, Any]) -> Sides:
    """Distances of copies and of all strangers, whatever their task, as one threshold sees them.

    Args:
        suspects: as `described`, with their distances.
        testbed: its configuration, which names the attacks.
    """
    attacked = suspects["role"].isin(list(testbed["attacks"]))
    near = suspects[attacked & (suspects["copy"] != 0)]
    return Sides(near["distance"].to_numpy(), suspects.loc[~attacked, "distance"].to_numpy())
