"""Pictures of distances between tasks, and those of one run, drawn from the folder of its record."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.pages.plots import plain, words
from experiments.storage import record
from experiments.storage.tables import as_written
from experiments.testbeds.task_relatedness.affinity import as_square, dissimilarity
from experiments.testbeds.task_relatedness.tasks import FAMILIES

FAMILY_COLOURS = ("#15803d", "#1d4ed8", "#a16207", "#be123c")
TRUTH = "truth (1 - rank of affinity)"
SCORE = "Spearman with the affinity, diagonal left out"
Squares = Mapping[str, pd.DataFrame]


def heat_maps(folder: Path) -> Figure:
    """Distance and truth side by side."""
    return coloured(squares(folder))


def trees(folder: Path) -> Figure:
    """Similarity trees of distance and truth, leaves coloured by task family."""
    return grown(squares(folder))


def targets(folder: Path) -> Figure:
    """The score of every target."""
    return bars({"distance": per_target((record.finished(folder) or {})["metrics"])}, label=SCORE)


def squares(folder: Path, name: str = "distance") -> dict[str, pd.DataFrame]:
    """A run's distances between all tasks, under that name, and the truth as distances."""
    affinity = record.matrix(folder, "affinity")
    distance = as_square(as_written(record.distances(folder).mean(axis=1)), list(affinity))
    return {name: distance, TRUTH: dissimilarity(affinity)}


def per_target(metrics: Mapping[str, float]) -> pd.Series:
    """The scores of single targets among the metrics of a run, by task."""
    return pd.Series(
        {key.removeprefix("target/"): score for key, score in metrics.items() if key.startswith("target/")}, dtype=float
    )


def coloured(shown: Squares, *, columns: int = 3) -> Figure:
    """Square matrices side by side, each coloured over its own off-diagonal range; dark = near."""
    columns = min(columns, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(5.2 * columns, 5 * rows), layout="constrained")
    for axes, (name, square) in zip(figure.subplots(rows, columns, squeeze=False).flat, shown.items(), strict=False):
        values = square.to_numpy(float)
        off = values[~np.eye(len(values), dtype=bool)]
        axes.imshow(values, vmin=off.min(), vmax=off.max(), cmap="magma")
        axes.set_xticks(range(len(square)), labels=words(square.columns), rotation=90, fontsize="x-small")
        axes.set_yticks(range(len(square)), labels=words(square.index), fontsize="x-small")
        axes.set_title(name, fontsize="medium")
    for axes in figure.axes[len(shown) :]:
        axes.remove()
    return figure


def grown(shown: Squares) -> Figure:
    """Average-linkage trees of distance matrices, their leaves coloured by Taskonomy's families."""
    from scipy.cluster.hierarchy import dendrogram, linkage
    from scipy.spatial.distance import squareform
    from scipy.stats import rankdata

    known = set().union(*shown.values())
    families = {name: tasks for name, tasks in FAMILIES.items() if known & set(tasks)}
    colours = {task: FAMILY_COLOURS[i % 4] for i, tasks in enumerate(families.values()) for task in tasks}
    figure = Figure(figsize=(5.4 * len(shown), 5), layout="constrained")
    for axes, (name, square) in zip(figure.subplots(1, len(shown), squeeze=False).flat, shown.items(), strict=True):
        ranked = rankdata(squareform((square + square.T).to_numpy(float) / 2, checks=False))
        labels = list(square.index)
        drawn = dendrogram(
            linkage(ranked, "average"),
            labels=words(labels),
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
    return plain(figure)


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
    return plain(figure)
