"""A section: what the page's candidates gain on every other method, on the same models."""

from collections.abc import Callable

import pandas as pd
from hydra.utils import get_method

from experiments.pages.section import NOTHING, probability, section
from experiments.pages.sweep import Experiment, Run
from experiments.pages.tables import columns
from experiments.statistics.contest import Sides, paired_difference
from experiments.statistics.ranking import holm
from experiments.storage import record


def gained(found: Experiment) -> str:
    """What the page's `answer` gains; its `sides` reads suspects and the testbed's configuration."""
    read = get_method(found.page["sides"])
    what = columns(found.page)[found.page["answer"]]
    return contest(what, found, lambda run: read(record.matrix(run.folder, "suspects"), run.config["testbed"]))


def contest(what: str, found: Experiment, sides: Callable[[Run], Sides]) -> str:
    """The candidates minus each other method, paired over zoos and models; `sides` reads a finished run."""
    scored = {label: {run.seed: sides(run) for run in runs if run.record} for label, runs in found.rows().items()}
    candidates = [label for label in found.page["candidates"] if scored.get(label)]
    parts = []
    for candidate in candidates:
        others = {label: zoos for label, zoos in scored.items() if label not in found.page["candidates"]}
        gained = {}
        for label, zoos in others.items():
            common = sorted(scored[candidate].keys() & zoos.keys())
            if common:
                ours, theirs = ([one[seed] for seed in common] for one in (scored[candidate], zoos))
                gained[label] = (paired_difference(ours, theirs), len(common))
        parts.append((candidate, gained))
    every = {(candidate, label): one.p for candidate, gained in parts for label, (one, _) in gained.items()}
    adjusted = (
        holm(pd.Series(list(every.values()), index=pd.MultiIndex.from_tuples(every), dtype=float)) if every else {}
    )
    rows = {}
    for candidate, gained in parts:
        for label, (one, zoos) in sorted(gained.items(), key=lambda item: item[1][0].value):
            rows[f"{candidate} minus {label}"] = {
                "Difference": f"{one.value:+.3f} [{one.low:+.3f}, {one.high:+.3f}]",
                "p": probability(one.p),
                "p (Holm)": probability(adjusted[candidate, label]),
                "Zoos": zoos,
            }
    if not rows:
        return f"**What is gained** ({what}): {NOTHING}"
    return section(
        f"**What is gained.** AUC, {what}: candidates minus every other method, mean over the zoos that both have, "
        "with the 95 % interval of a bootstrap that draws zoos, then models, the same for both; p of there being "
        "no difference, and with Holm's correction for all rows.",
        pd.DataFrame.from_dict(rows, orient="index"),
    )
