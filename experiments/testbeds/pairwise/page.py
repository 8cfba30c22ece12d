"""Sections and pictures of a comparison of models by several methods, from the first seed's runs."""

from math import isfinite
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.pages.section import NOTHING, probability, section
from experiments.pages.sweep import Experiment
from experiments.storage import record
from experiments.testbeds.pairwise import pictures
from experiments.testbeds.pairwise.facts import DEAD, Facts, followed, why_not
from experiments.testbeds.pairwise.pictures import number, short


class Compared(NamedTuple):
    """What one method says."""

    method: dict[str, Any]
    """Its configuration."""
    square: pd.DataFrame
    pairs: pd.DataFrame
    models: pd.DataFrame

    @property
    def asked(self) -> list[str]:
        """The models that are no strangers."""
        return [name for name in self.square.index if not self.models.loc[name, "stranger"]]


def compared(found: Experiment) -> dict[str, Compared]:
    """What every method says, by its name; of several runs the first."""
    done = {label: next((run for run in runs if run.record), None) for label, runs in found.rows().items()}
    return {
        label: Compared(
            run.config["method"],
            record.matrix(run.folder, "distance"),
            record.matrix(run.folder, "pairs").set_index("second", append=True),
            record.matrix(run.folder, "models"),
        )
        for label, run in done.items()
        if run
    }


def matrices(found: Experiment) -> str:
    """A square of distances for every method; what cannot be compared says why."""
    parts = [
        "**Every two models, by every method.** 0: the same. n/a: the method cannot compare the two; the reason stands "
        "beneath."
    ]
    for label, one in compared(found).items():
        asked, strangers = one.asked, [name for name in one.square.index if name not in one.asked]
        shown = one.square.loc[asked, asked].set_axis(short(asked)).set_axis(short(asked), axis=1)
        if strangers:
            shown["nearest stranger"] = one.square.loc[asked, strangers].min(axis=1).to_numpy()
        table = shown.map(number)
        parts.append(section(f"{label} ({one.method['access']}):", table))
        if reasons := _reasons(one):
            parts.append("n/a: " + "; ".join(f"{why} ({', '.join(whom)})" for why, whom in reasons.items()) + ".")
    return "\n\n".join(parts)


def nulls(found: Experiment) -> str:
    """A row for each two models, nearest first; each method's distance with its interval, and its nulls beneath."""
    rows: dict[str, dict[str, str]] = {}
    everything = compared(found)
    order = next(iter(everything.values())).pairs.index
    every = dict.fromkeys([*order, *(pair for one in everything.values() for pair in one.pairs.index)])
    asked = next(iter(everything.values())).asked
    names = dict(zip(asked, short(asked), strict=True))
    every = [pair for pair in every if {*pair} <= {*asked}]
    for label, one in everything.items():
        for first, second in every:
            row = rows.setdefault(f"{names[first]} – {names[second]}", {})
            row[label] = _cell(one.pairs.loc[(first, second)]) if (first, second) in one.pairs.index else "n/a"
    return section(
        "**Beside every number what no relation would give.** Mean distance [95 % interval over reference points, "
        "where a method has a number for each]; new: of the two models to networks of their own make with new weights "
        "(the smaller); other: of one to the other, when the other is asked about other images. A distance that is no "
        "smaller than these says nothing. Every model's distance to itself is 0.",
        pd.DataFrame.from_dict(rows, orient="index"),
    )


def verdicts(found: Experiment) -> str:
    """What declared strangers let be said of the other pairs; empty where none are declared."""
    rows: dict[str, dict[str, str]] = {}
    judged = {label: one for label, one in compared(found).items() if "verdict" in one.pairs}
    for label, one in judged.items():
        names = dict(zip(one.asked, short(one.asked), strict=True))
        for (first, second), row in one.pairs.iterrows():
            if isinstance(row["verdict"], str):
                said = f"{row['verdict']} ({probability(row['p_holm'])})"
                rows.setdefault(f"{names[first]} – {names[second]}", {})[label] = said
    if not rows:
        nobody = (
            "**Nobody is judged**: no pair has three declared strangers that can be compared with it, of its own make "
        )
        return nobody + "where both are of one." if judged else ""
    return section(
        "**Derived, or not told apart from strangers?** Holm's p-value over all judged pairs in brackets, from "
        "Student's prediction of one more stranger, whose distances are taken for normal; a pair called derived "
        "is also nearer than every one of these strangers is to either of the two. Two models of one make are held "
        "against strangers of that make, of which there must be three, all others against all strangers. Not told "
        "apart acquits nobody. Which of two derived models came first is not said: distances are symmetric, and of "
        "three that come of one another weights show which lies between, whichever of them was there first. Strangers, "
        f"by make: {_strangers(next(iter(judged.values())))}.",
        pd.DataFrame.from_dict(rows, orient="index").fillna(NOTHING),
    )


def _strangers(one: Compared) -> str:
    """The declared strangers, those of one make together."""
    names = [name for name in one.square.index if name not in one.asked]
    makes: dict[str, list[str]] = {}
    for name, shown in zip(names, short(names), strict=True):
        makes.setdefault(one.models.loc[name, "make"], []).append(shown)
    return "; ".join(map(", ".join, makes.values()))


def heat_maps(found: Experiment) -> Figure:
    """Every method's distances as colours."""
    return pictures.coloured({label: one.square for label, one in compared(found).items()})


def every_square(found: Experiment, draw: Any) -> Any:
    """Every method's distances, as a matrix and as a tree, declared strangers apart; None if nothing has run."""
    everything = compared(found)
    if not everything:
        return None
    label, one = next(iter(everything.items()))
    names = dict(zip(one.square.index, short(list(one.square.index)), strict=True))
    squares = {name: other.square.rename(index=names, columns=names) for name, other in everything.items()}
    strangers = [names[model] for model in one.square.index if model not in one.asked]
    groups = {"compared": [names[model] for model in one.asked], "declared strangers": strangers} if strangers else {}
    return draw.explorer(squares, first=label, groups=groups)


def trees(found: Experiment) -> Figure | None:
    """Every method's tree."""
    return pictures.grown({label: one.square for label, one in compared(found).items()})


def _reasons(one: Compared) -> dict[str, list[str]]:
    """Why some pairs have no distance -> which."""
    known = {str(row.Index): _facts(row) for row in one.models.itertuples()}
    names = dict(zip(one.asked, short(one.asked), strict=True))
    found: dict[str, list[str]] = {}
    for position, first in enumerate(one.asked):
        for second in one.asked[position + 1 :]:
            if not isfinite(one.square.loc[first, second]):
                asks = {"needs": one.method.get("needs") or (), "access": one.method["access"]}
                why = why_not(known[first], known[second], **asks, readout=followed(one.method["represent"]))
                found.setdefault(why or DEAD, []).append(f"{names[first]} – {names[second]}")
    return found


def _facts(row: Any) -> Facts:
    return Facts(
        str(row.outputs), bool(row.head), int(row.parameters), str(row.make), str(row.layers), str(row.weights)
    )


def _cell(pair: pd.Series) -> str:
    interval = f" [{number(pair['low'])}, {number(pair['high'])}]" if isfinite(pair["low"]) else ""
    twins = np.fmin.reduce([pair.get(end, np.nan) for end in ("first_twin", "second_twin")])
    others = pair.get("other_images", np.nan)
    known = [f"{what} {number(value)}" for what, value in (("new", twins), ("other", others)) if isfinite(value)]
    return f"{number(pair['distance'])}{interval}" + (f"; {', '.join(known)}" if known else "")
