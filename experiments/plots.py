"""Pictures: plain functions from numbers to figures. No file is written here."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from experiments.statistics import Estimate

RELATED, UNRELATED = "#c2410c", "#1d4ed8"
Sides = Mapping[str, tuple[pd.Series, pd.Series]]


def groups(distances: Mapping[str, pd.Series], *, threshold: float) -> Figure:
    """A strip of points for every group of models, and the distance that 5 % of all unrelated models stay below."""
    figure = Figure(figsize=(8, 0.42 * len(distances) + 1.2), layout="constrained")
    axes = figure.subplots()
    spread = np.random.default_rng(0)
    for row, (role, values) in enumerate(distances.items()):
        colour = UNRELATED if role.startswith("unrelated") else RELATED
        axes.scatter(
            values, row + spread.uniform(-0.22, 0.22, len(values)), s=22, color=colour, alpha=0.65, linewidths=0
        )
        axes.plot([values.median()] * 2, [row - 0.35, row + 0.35], color=colour)
    axes.axvline(
        threshold, color="grey", linestyle="--", linewidth=1, label="5 % of the unrelated models lie left of it"
    )
    axes.set_yticks(range(len(distances)), labels=[role.replace("_", " ") for role in distances])
    axes.invert_yaxis()
    axes.set_xlabel("distance to the victim")
    axes.legend(loc="lower left", fontsize="small")
    return _plain(figure)


def roc(sides: Sides) -> Figure:
    """One curve for every attack."""
    from sklearn.metrics import roc_curve  # only here: it takes seconds, and tables draw no such curve

    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.subplots()
    for attack, (related, unrelated) in sides.items():
        labels = np.r_[np.ones(len(related)), np.zeros(len(unrelated))]
        false, true, _ = roc_curve(labels, -np.r_[related, unrelated])
        axes.plot(false, true, label=attack.replace("_", " "), alpha=0.8)
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", linewidth=1)
    axes.set_xlabel("false positive rate")
    axes.set_ylabel("true positive rate")
    axes.legend(loc="lower right", fontsize="small")
    return _plain(figure)


def budget(curves: Mapping[str, Mapping[int, "Estimate"]]) -> Figure:
    """AUC against the number of reference points, one small plot an attack, with the interval as a band."""
    columns = 3
    rows = -(-len(curves) // columns)
    figure = Figure(figsize=(9, 2.2 * rows + 0.4), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes, (attack, curve) in zip(grid.flat, curves.items(), strict=False):
        sizes = list(curve)
        axes.fill_between(
            sizes, [e.low for e in curve.values()], [e.high for e in curve.values()], color=RELATED, alpha=0.18
        )
        axes.plot(sizes, [e.value for e in curve.values()], color=RELATED, marker=".")
        axes.axhline(0.5, color="grey", linestyle=":", linewidth=1)
        axes.set_xscale("log", base=2)
        axes.set_ylim(-0.03, 1.03)
        axes.set_title(attack.replace("_", " "), fontsize="medium")
    for axes in list(grid.flat)[len(curves) :]:
        axes.remove()
    figure.supxlabel("reference points")
    figure.supylabel("AUC")
    return _plain(figure)


def heat_map(table: pd.DataFrame, *, title: str) -> Figure:
    """A table of AUCs as colours with the numbers in them; empty where nothing ran."""
    figure = Figure(figsize=(0.95 * table.shape[1] + 3, 0.42 * len(table) + 1.4), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(table.to_numpy(float), vmin=0, vmax=1, cmap="RdYlBu", aspect="auto")
    axes.set_xticks(range(table.shape[1]), labels=list(table.columns), rotation=30, ha="right")
    axes.set_yticks(range(len(table)), labels=list(table.index))
    for (row, column), value in np.ndenumerate(table.to_numpy(float)):
        shown = "—" if np.isnan(value) else f"{value:.2f}"
        axes.text(column, row, shown, ha="center", va="center", color="white" if abs(value - 0.5) > 0.4 else "black")
    figure.colorbar(image, label="AUC")
    axes.set_title(title)
    return figure


def _plain(figure: Figure) -> Figure:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    return figure
