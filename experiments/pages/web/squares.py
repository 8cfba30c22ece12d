"""Squares of distances for a browser: any method, beside the truth where there is one, as matrices and as trees."""

import json
import warnings
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

import altair as alt
import pandas as pd

from experiments.pages.plots import words
from experiments.pages.web.marks import DIGITS, kept

Groups = Mapping[str, Collection[str]]
CELL = 15
"""Pixels of a matrix's cell."""
MARGIN = 120
"""Pixels for names and legends beneath or above."""


def explorer(
    squares: Mapping[str, pd.DataFrame], *, first: str, truth: str | None = None, groups: Groups = MappingProxyType({})
) -> alt.VConcatChart:
    """Matrices and average-linkage trees of one method, which the reader chooses, and of the truth if there is one.

    Args:
        squares: name -> symmetric distances between the same things, the truth among them; NaN where there is none,
            and then there is no tree.
        truth: its name.
        first: the method that is shown before any is chosen.
        groups: name -> things that belong together: neighbours in the matrices, of one colour in the trees.
    """
    order = _by_group(list(squares[first]), groups)
    names = [name for name in squares if name != truth]
    cells = pd.DataFrame([cell for name, square in squares.items() for cell in _cells(name, square, order)])
    grown = [_tree(name, square, groups) for name, square in squares.items() if square.notna().all(axis=None)]
    joins, leaves = (pd.DataFrame([row for tree in grown for row in tree[part]]) for part in (0, 1))
    method = alt.param(name="method", value=first, bind=alt.binding_select(options=names, name="Method: "))
    over = alt.selection_point(name="over", fields=["a", "b"], on="pointerover", clear="pointerout", empty=False)
    which = {"the method": "datum.name === method"}
    if truth:
        which = {truth: f"datum.name === {json.dumps(truth)}"} | which
    top = [_matrix(cells, rule, title, order, over) for title, rule in which.items()]
    below = [_drawn_tree(joins, leaves, rule, list(groups)) for rule in which.values()] if len(joins) else []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that a pair is marked in both matrices at once is meant
        both = alt.vconcat(*(alt.hconcat(*row, spacing=30) for row in (top, below) if row))
    high = (CELL * len(order) + MARGIN) * (2 if below else 1)
    return (
        both.add_params(method)
        .resolve_scale(color="independent", y="independent", x="independent")
        .properties(usermeta={"height": high})
    )


def _matrix(cells: pd.DataFrame, which: str, title: str, order: list[str], over: alt.Parameter) -> alt.LayerChart:
    """Half of a square as it is, the other half mirrored; bright = near, by rank."""
    shown = words(order)
    base = alt.Chart(cells).transform_filter(f"{which} && isValid(datum.nearness)")
    halves = []
    for x, y in (("a", "b"), ("b", "a")):
        half = base.mark_rect().encode(
            x=alt.X(f"{x}:N", sort=shown, scale=alt.Scale(domain=shown), title=None, axis=alt.Axis(labelAngle=-90)),
            y=alt.Y(f"{y}:N", sort=shown, scale=alt.Scale(domain=shown), title=None),
            color=alt.Color("nearness:Q", legend=None, scale=alt.Scale(domain=[0, 1])),
            strokeWidth=alt.when(over).then(alt.value(2.5)).otherwise(alt.value(0)),
            stroke=alt.value("#e11d48"),
            tooltip=["name:N", "a:N", "b:N", alt.Tooltip("distance:Q", format=".3f")],
        )
        halves.append(half.add_params(over) if x == "a" else half)
    return alt.layer(*halves, title=title).properties(width=alt.Step(CELL), height=alt.Step(CELL))


def _drawn_tree(joins: pd.DataFrame, leaves: pd.DataFrame, which: str, kinds: list[str]) -> alt.LayerChart:
    across = alt.X("x:Q", title="rank of the distance", scale=alt.Scale(domainMin=0), axis=alt.Axis(grid=False))
    lines = alt.Chart(joins).transform_filter(which).mark_line(style="branch", interpolate="linear")
    named = alt.Chart(leaves).transform_filter(which).mark_text(align="right", dx=-5, fontSize=10)
    upwards = alt.Y("y:Q", axis=None)
    return alt.layer(
        lines.encode(x=across, y=upwards, detail="join:N", order="corner:O"),
        named.encode(
            x=alt.datum(0),
            y=upwards,
            text="leaf:N",
            color=alt.Color("group:N", sort=kinds, title=None, legend=alt.Legend(orient="top") if kinds else None),
        ),
    ).properties(width=len(leaves["leaf"].unique()) * CELL, height=len(leaves["leaf"].unique()) * CELL)


def _cells(name: str, square: pd.DataFrame, order: list[str]) -> list[dict[str, Any]]:
    """One row for each pair; nearness by the pair's rank among all of the square, 1 for the nearest."""
    from scipy.stats import rankdata

    values = square.loc[order, order].to_numpy(float)
    upper = [(i, j) for i in range(len(order)) for j in range(i + 1, len(order))]
    nearness = rankdata([-values[i, j] for i, j in upper], nan_policy="omit") / len(upper)
    shown = words(order)
    return [
        {
            "name": name,
            "a": shown[i],
            "b": shown[j],
            "distance": kept(values[i, j]),
            "nearness": kept(near),
        }
        for (i, j), near in zip(upper, nearness, strict=True)
    ]


def _tree(name: str, square: pd.DataFrame, groups: Groups) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Average linkage of the distances' ranks, as for a picture in a file."""
    from scipy.cluster.hierarchy import dendrogram, linkage
    from scipy.spatial.distance import squareform
    from scipy.stats import rankdata

    labels = list(square.index)
    joined = linkage(rankdata(squareform((square + square.T).to_numpy(float) / 2, checks=False)), "average")
    drawn = dendrogram(joined, labels=words(labels), no_plot=True)
    corners = [
        {"name": name, "join": join, "corner": corner, "x": round(x, DIGITS), "y": y}
        for join, (heights, places) in enumerate(zip(drawn["dcoord"], drawn["icoord"], strict=True))
        for corner, (x, y) in enumerate(zip(heights, places, strict=True))
    ]
    group = {label: kind for kind, members in groups.items() for label in members}
    leaves = [
        {"name": name, "leaf": words([labels[leaf]])[0], "y": 5 + 10 * place, "group": group.get(labels[leaf], "other")}
        for place, leaf in enumerate(drawn["leaves"])
    ]
    return corners, leaves


def _by_group(names: list[str], groups: Groups) -> list[str]:
    """The names, those of one group side by side."""
    known = [name for members in groups.values() for name in members if name in names]
    return [*known, *(name for name in names if name not in known)]
