"""Pictures of one run, drawn from the folder of its record."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.pages.plots import plain
from experiments.storage import record


def heat_map(folder: Path) -> Figure:
    """All distances as colours, with the numbers in them; dark = near."""
    square = record.matrix(folder, "distance")
    values = square.to_numpy(float)
    off = values[~np.eye(len(values), dtype=bool)]
    figure = Figure(figsize=(0.8 * len(square) + 4, 0.6 * len(square) + 3), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(values, vmin=0, vmax=np.nanmax(off) or 1, cmap="magma")
    axes.set_xticks(range(len(square)), labels=list(square.columns), rotation=40, ha="right", fontsize="x-small")
    axes.set_yticks(range(len(square)), labels=list(square.index), fontsize="x-small")
    for (row, column), value in np.ndenumerate(values):
        bright = value > 0.6 * np.nanmax(off)
        axes.text(column, row, f"{value:.2g}", ha="center", va="center", color="black" if bright else "white")
    figure.colorbar(image, label="distance")
    return figure


def tree(folder: Path) -> Figure:
    """Average linkage of all models: what joins at the left is near."""
    from scipy.cluster.hierarchy import dendrogram

    square = record.matrix(folder, "distance")
    figure = Figure(figsize=(8, 0.4 * len(square) + 1.5), layout="constrained")
    axes = figure.subplots()
    dendrogram(
        joined(square),
        labels=list(square.index),
        orientation="right",
        ax=axes,
        color_threshold=0,
        above_threshold_color="grey",
    )
    axes.set_xlabel("distance")
    return plain(figure)


def joined(square: pd.DataFrame) -> np.ndarray:
    """Average linkage of a square of distances, as scipy writes it."""
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import squareform

    return linkage(squareform(square.to_numpy(float), checks=False), "average")
