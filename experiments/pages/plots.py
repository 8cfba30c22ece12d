"""Pictures that several testbeds share: plain functions from numbers to figures. No file is written here.

A testbed's picture hands its numbers to a function of `draw`: of this module, for a file, or of the one by the same
names for a browser (`experiments.pages.web.charts`).
"""

from collections.abc import Iterable, Mapping
from io import BytesIO

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

RELATED, UNRELATED = "#c2410c", "#1d4ed8"


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
    return plain(figure)


def strips(
    groups: Mapping[str, pd.Series], *, apart: Iterable[str], label: str, line: tuple[float, str] | None = None
) -> Figure:
    """A strip of points for every group with its median; groups apart in another colour, and their range shaded.

    Args:
        groups: name -> values.
        apart: which of them are the ones to be told from.
        label: of the axis.
        line: a value to mark, and what it is.
    """
    apart = set(apart)
    figure = Figure(figsize=(8, 0.42 * len(groups) + 1.2), layout="constrained")
    axes = figure.subplots()
    spread = np.random.default_rng(0)
    for row, (name, values) in enumerate(groups.items()):
        colour = UNRELATED if name in apart else RELATED
        height = row + spread.uniform(-0.22, 0.22, len(values))
        axes.scatter(values, height, s=22, color=colour, alpha=0.65, linewidths=0)
        axes.plot([values.median()] * 2, [row - 0.35, row + 0.35], color=colour)
    if apart & set(groups):
        reach = pd.concat([groups[name] for name in groups if name in apart])
        axes.axvspan(reach.min(), reach.max(), color=UNRELATED, alpha=0.08, linewidth=0)
    if line:
        axes.axvline(line[0], color="grey", linestyle="--", linewidth=1, label=line[1])
        axes.legend(loc="lower left", fontsize="small")
    axes.set_yticks(range(len(groups)), labels=words(groups))
    axes.invert_yaxis()
    axes.set_xlabel(label)
    return plain(figure)


def bands(lines: Mapping[str, Iterable[tuple[float, float, float, float]]], *, x: str, y: str) -> Figure:
    """A line with its band for every name, through points (at, value, low, high); the dotted one is chance, 0.5."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, points in lines.items():
        at, value, low, high = np.array(sorted(points)).T
        (line,) = axes.plot(at, value, marker="o", label=name)
        axes.fill_between(at, low, high, color=line.get_color(), alpha=0.12, linewidth=0)
    axes.axhline(0.5, color="grey", linestyle=":", linewidth=1)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.legend(loc="lower right", fontsize="small")
    return plain(figure)


def front(points: Mapping[str, tuple[float, float, str]], *, x: str, y: str) -> Figure:
    """A named dot for every (cost, worth, group), costs on a logarithmic axis; a line joins what nothing is better than
    at its cost or less."""
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots()
    groups = list(dict.fromkeys(group for _, _, group in points.values()))
    for group in groups:
        at, value = np.array([point[:2] for point in points.values() if point[2] == group]).T
        axes.scatter(at, value, s=30, label=group, zorder=3)
    best = -np.inf
    edge = []
    for cost, value, _ in sorted(points.values(), key=lambda point: (point[0], -point[1])):
        if value > best:
            best = value
            edge.append((cost, value))
    axes.step(*np.array(edge).T, where="post", color="grey", linewidth=1)
    for name, (cost, value, _) in points.items():
        axes.annotate(name, (cost, value), xytext=(4, 3), textcoords="offset points", fontsize="x-small")
    axes.set_xscale("log")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.legend(loc="lower right", fontsize="small", title="access")
    return plain(figure)


def words(names: Iterable[str]) -> list[str]:
    """Names with blanks for underscores."""
    return [str(name).replace("_", " ") for name in names]


def plain(figure: Figure) -> Figure:
    """The same figure, without the upper and right border of its axes."""
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def png(figure: Figure) -> bytes:
    """The figure as a file's content; the same figure gives the same bytes."""
    content = BytesIO()
    figure.savefig(content, dpi=110, format="png", metadata={"Software": None})
    return content.getvalue()
