"""Pictures of one run, drawn from the folder of its record."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.pages.plots import plain
from experiments.storage import record

FEW = 10
"""Models whose distances are written into their fields."""
ROUNDING = 1e-9


def heat_map(folder: Path) -> Figure:
    """All distances as colours, with the numbers in them; dark = near."""
    return coloured({"distance": record.matrix(folder, "distance")})


def tree(folder: Path) -> Figure | None:
    """Average linkage of all models: what joins at the left is near. None where no two can be compared."""
    return grown({"distance": record.matrix(folder, "distance")})


def coloured(squares: Mapping[str, pd.DataFrame], *, columns: int = 3) -> Figure:
    """Squares of distances side by side, each over its own range, with the numbers in them if few; n/a is grey."""
    names = short(next(iter(squares.values())).index)
    few = len(names) <= FEW
    side = (0.62 if few else 0.22) * len(names) + 1
    across = min(columns, len(squares))
    down = -(-len(squares) // across)
    figure = Figure(figsize=(side * across + 2, (side + 0.6) * down + 1), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    for axes, (title, square) in zip(panels.flat, squares.items(), strict=False):
        values = square.to_numpy(float)
        axes.set_facecolor("lightgrey")
        most = np.nanmax(values) or 1
        axes.imshow(values, vmin=0, vmax=most, cmap="magma", aspect="equal")
        axes.set_xticks(range(len(names)), labels=names, rotation=40, ha="right", fontsize="x-small")
        axes.set_yticks(range(len(names)), labels=names, fontsize="x-small")
        for (row, column), value in np.ndenumerate(values) if few else ():
            colour = "white" if value < 0.6 * most else "black"
            axes.text(column, row, number(value), ha="center", va="center", color=colour, fontsize="xx-small")
        axes.set_title(title, fontsize="medium")
    for axes in panels.flat[max(0, len(squares) - across) : len(squares)]:
        axes.tick_params(labelbottom=True)
    for axes in panels.flat[len(squares) :]:
        axes.remove()
    return figure


def grown(squares: Mapping[str, pd.DataFrame], *, columns: int = 3) -> Figure | None:
    """Trees of distances side by side, by average linkage; None without any.

    Models that cannot be compared are left out, and distances that are all 0, which have no branches.
    """
    from scipy.cluster.hierarchy import dendrogram

    shown = {title: whole for title, square in squares.items() if (whole := comparable(square)).to_numpy().any()}
    if not shown:
        return None
    across = min(columns, len(shown))
    down = -(-len(shown) // across)
    tall = max(map(len, shown.values()))
    figure = Figure(figsize=(5 * across, (0.28 * tall + 1.2) * down), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False)
    for axes, (title, square) in zip(panels.flat, shown.items(), strict=False):
        dendrogram(
            joined(square),
            labels=short(square.index),
            orientation="right",
            ax=axes,
            color_threshold=0,
            above_threshold_color="grey",
        )
        axes.tick_params(labelsize="x-small")
        axes.locator_params(axis="x", nbins=5)
        axes.set_title(title, fontsize="medium")
        axes.set_xlabel("distance", fontsize="small")
    for axes in panels.flat[len(shown) :]:
        axes.remove()
    return plain(figure)


def comparable(square: pd.DataFrame) -> pd.DataFrame:
    """A square without the models that have gaps: those with most of them go first."""
    gaps = square.isna().sum()
    while gaps.any():
        square = square.drop(index=gaps.idxmax(), columns=gaps.idxmax())
        gaps = square.isna().sum()
    return square


def joined(square: pd.DataFrame) -> np.ndarray:
    """Average linkage of a square of distances, as scipy writes it."""
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import squareform

    return linkage(squareform(square.to_numpy(float), checks=False), "average")


def number(value: float) -> str:
    """A distance with two digits, however small; n/a if there is none.

    >>> number(0.504), number(0.0000123), number(0.0), number(float("nan"))
    ('0.50', '1e-05', '0.00', 'n/a')
    """
    if np.isnan(value):
        return "n/a"
    return f"{value:.0e}" if ROUNDING < abs(value) < 0.005 else f"{value:.2f}"


def short(names: Iterable[str]) -> list[str]:
    """Models' names without where networks are from, as far as they stay different.

    >>> short(["my.models:first", "timm:resnet18"]), short(["timm:vgg11", "torchvision:vgg11"])
    (['first', 'resnet18'], ['timm:vgg11', 'torchvision:vgg11'])
    """
    whole = list(names)
    ends = [name.rpartition("/")[2] if "@" in name else name.rpartition(":")[2] for name in whole]
    return [end if ends.count(end) == 1 else name for end, name in zip(ends, whole, strict=True)]
