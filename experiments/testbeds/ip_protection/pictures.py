"""Pictures of one run of IP protection, drawn from the folder of its record."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.pages.plots import RELATED, UNRELATED, plain, words
from experiments.statistics.intervals import threshold
from experiments.storage import record


def groups(folder: Path) -> Figure:
    """A strip of points for every group of models, and the distance that 5 % of all unrelated models stay below."""
    suspects = record.matrix(folder, "suspects")
    strips = {str(role): models["distance"] for role, models in suspects.groupby("role", sort=False)}
    figure = Figure(figsize=(8, 0.42 * len(strips) + 1.2), layout="constrained")
    axes = figure.subplots()
    spread = np.random.default_rng(0)
    for row, (role, values) in enumerate(strips.items()):
        colour = UNRELATED if role.startswith("unrelated") else RELATED
        axes.scatter(
            values, row + spread.uniform(-0.22, 0.22, len(values)), s=22, color=colour, alpha=0.65, linewidths=0
        )
        axes.plot([values.median()] * 2, [row - 0.35, row + 0.35], color=colour)
    limit = threshold(suspects.loc[_unrelated(suspects), "distance"].to_numpy(), 0.05)
    axes.axvline(limit, color="grey", linestyle="--", linewidth=1, label="5 % of the unrelated models lie left of it")
    axes.set_yticks(range(len(strips)), labels=words(strips))
    axes.invert_yaxis()
    axes.set_xlabel("distance to the victim")
    axes.legend(loc="lower left", fontsize="small")
    return plain(figure)


def roc(folder: Path) -> Figure:
    """One curve for every attack, against the unrelated models of its task."""
    from sklearn.metrics import RocCurveDisplay  # only here: it takes seconds, and tables draw no such curve

    suspects = record.matrix(folder, "suspects")
    unrelated = suspects[_unrelated(suspects)]
    attacks = suspects[~_unrelated(suspects)].groupby("role", sort=False)
    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.subplots()
    for turn, (attack, related) in enumerate(attacks, start=1):
        both = pd.concat([related, unrelated[unrelated["task"] == related["task"].iloc[0]]])
        RocCurveDisplay.from_predictions(
            both["role"] == attack,
            -both["distance"],
            name=str(attack).replace("_", " "),
            ax=axes,
            plot_chance_level=turn == len(attacks),
            curve_kwargs={"alpha": 0.8},
        )
    axes.set_xlabel("false positive rate")
    axes.set_ylabel("true positive rate")
    axes.legend(loc="lower right", fontsize="small")
    return plain(figure)


def budget(folder: Path) -> Figure | None:
    """AUC against the number of reference points, one small plot an attack, with the interval as a band.

    None if there is one number only, as of a method that shows all its samples in one piece.
    """
    if not (folder / "curves.csv").exists():
        return None
    curves = record.matrix(folder, "curves").groupby("attack", sort=False)
    rows, columns = -(-len(curves) // 3), 3
    figure = Figure(figsize=(9, 2.2 * rows + 0.4), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes, (attack, curve) in zip(grid.flat, curves, strict=False):
        axes.fill_between(curve["references"], curve["low"], curve["high"], color=RELATED, alpha=0.18)
        axes.plot(curve["references"], curve["value"], color=RELATED, marker=".")
        axes.axhline(0.5, color="grey", linestyle=":", linewidth=1)
        axes.set_xscale("log", base=2)
        axes.set_ylim(-0.03, 1.03)
        axes.set_title(str(attack).replace("_", " "), fontsize="medium")
    for axes in list(grid.flat)[len(curves) :]:
        axes.remove()
    figure.supxlabel("reference points")
    figure.supylabel("AUC")
    return plain(figure)


def _unrelated(suspects: pd.DataFrame) -> pd.Series:
    return suspects["role"].str.startswith("unrelated")
