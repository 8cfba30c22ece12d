"""Pictures: plain functions from numbers to figures. No file is written here."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from experiments.statistics.intervals import Estimate

RELATED, UNRELATED = "#c2410c", "#1d4ed8"
FAMILY_COLOURS = ("#15803d", "#1d4ed8", "#a16207", "#be123c")
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


def heat_map(table: pd.DataFrame, *, title: str, label: str = "AUC") -> Figure:
    """A table of numbers from 0 to 1 as colours with the numbers in them; empty where nothing ran."""
    figure = Figure(figsize=(0.95 * table.shape[1] + 3, 0.42 * len(table) + 1.4), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(table.to_numpy(float), vmin=0, vmax=1, cmap="RdYlBu", aspect="auto")
    axes.set_xticks(range(table.shape[1]), labels=list(table.columns), rotation=30, ha="right")
    axes.set_yticks(range(len(table)), labels=list(table.index))
    for (row, column), value in np.ndenumerate(table.to_numpy(float)):
        shown = "—" if np.isnan(value) else f"{value:.2f}"
        axes.text(column, row, shown, ha="center", va="center", color="white" if abs(value - 0.5) > 0.4 else "black")
    figure.colorbar(image, label=label)
    axes.set_title(title)
    return figure


def matrices(squares: Mapping[str, pd.DataFrame], *, columns: int = 3) -> Figure:
    """Square matrices side by side, each coloured over its own off-diagonal range; dark = near."""
    columns = min(columns, len(squares))
    rows = -(-len(squares) // columns)
    figure = Figure(figsize=(5.2 * columns, 5 * rows), layout="constrained")
    for axes, (name, square) in zip(figure.subplots(rows, columns, squeeze=False).flat, squares.items(), strict=False):
        values = square.to_numpy(float)
        off = values[~np.eye(len(values), dtype=bool)]
        axes.imshow(values, vmin=off.min(), vmax=off.max(), cmap="magma")
        axes.set_xticks(range(len(square)), labels=_words(square.columns), rotation=90, fontsize="x-small")
        axes.set_yticks(range(len(square)), labels=_words(square.index), fontsize="x-small")
        axes.set_title(name, fontsize="medium")
    for axes in figure.axes[len(squares) :]:
        axes.remove()
    return figure


def trees(squares: Mapping[str, pd.DataFrame], families: Mapping[str, Sequence[str]]) -> Figure:
    """Average-linkage trees of distance matrices, their leaves coloured by family."""
    from scipy.cluster.hierarchy import dendrogram, linkage
    from scipy.spatial.distance import squareform
    from scipy.stats import rankdata

    colours = {task: FAMILY_COLOURS[i % 4] for i, tasks in enumerate(families.values()) for task in tasks}
    figure = Figure(figsize=(5.4 * len(squares), 5), layout="constrained")
    for axes, (name, square) in zip(figure.subplots(1, len(squares), squeeze=False).flat, squares.items(), strict=True):
        ranked = rankdata(squareform(square.to_numpy(float), checks=False))
        labels = list(square.index)
        drawn = dendrogram(
            linkage(ranked, "average"),
            labels=_words(labels),
            orientation="left",
            ax=axes,
            color_threshold=0,
            above_threshold_color="grey",
        )
        for text, leaf in zip(axes.get_ymajorticklabels(), drawn["leaves"], strict=True):
            text.set_color(colours.get(labels[leaf], "black"))
        axes.set_title(name, fontsize="medium")
        axes.set_xlabel("rank of the distance")
    for i, family in enumerate(families):
        figure.text(0.01, 0.99 - 0.03 * i, family, color=FAMILY_COLOURS[i % 4], va="top", fontsize="small")
    return _plain(figure)


def bars(scores: Mapping[str, pd.Series], *, label: str) -> Figure:
    """A group of bars for every target, one bar a method."""
    table = pd.DataFrame(dict(scores))
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    axes = figure.subplots()
    table.rename(index=lambda task: task.replace("_", " ")).plot.bar(ax=axes, width=0.8)
    axes.axhline(0, color="grey", linewidth=1)
    axes.set_ylabel(label, fontsize="small")
    axes.set_ylim(min(-0.2, table.min().min() - 0.05), 1.02)
    axes.legend(fontsize="small", ncols=4, loc="lower left", bbox_to_anchor=(0, 1))
    return _plain(figure)


def dots(groups: Mapping[str, Mapping[str, tuple[float, float, float]]], *, label: str, chance: float = 0) -> Figure:
    """A dot with its interval for every row, one colour a group; rows ordered by the first group, best on top."""
    first = next(iter(groups.values()))
    order = sorted(first, key=lambda row: np.nan_to_num(first[row][0], nan=-2))
    figure = Figure(figsize=(8, 0.32 * len(order) + 1.2), layout="constrained")
    axes = figure.subplots()
    for shift, (name, rows) in enumerate(groups.items()):
        values, low, high = np.array([rows[row] for row in order]).T
        height = np.arange(len(order)) + 0.28 * (0.5 - shift)
        colour = (RELATED, UNRELATED)[shift % 2]
        axes.hlines(height, low, high, color=colour, alpha=0.35, linewidth=3)
        axes.scatter(values, height, color=colour, s=26, label=name, zorder=3)
    axes.axvline(chance, color="grey", linestyle=":", linewidth=1)
    axes.set_yticks(range(len(order)), labels=order)
    axes.set_xlabel(label)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=len(groups), fontsize="small")
    return _plain(figure)


def _words(names: Iterable[str]) -> list[str]:
    return [str(name).replace("_", " ") for name in names]


def _plain(figure: Figure) -> Figure:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    return figure
