"""Pictures for a browser: the functions of `experiments.pages.plots`, by the same names, as Altair charts.

A picture is described once, by a function of an experiment that hands its numbers to `draw`: to `plots` for a file, to
this module for a browser. Colours are named here and chosen by the page, which is light or dark; nothing is drawn.
"""

from collections.abc import Iterable, Mapping
from math import isfinite

import altair as alt
import numpy as np
import pandas as pd

from experiments.pages.plots import words
from experiments.pages.section import decimal
from experiments.pages.web.curves import bands as bands
from experiments.pages.web.curves import choice as choice
from experiments.pages.web.curves import lines as lines
from experiments.pages.web.marks import DIGITS, above, across, kept, told
from experiments.pages.web.squares import explorer as explorer

alt.data_transformers.disable_max_rows()

Chart = alt.LayerChart | alt.HConcatChart | alt.VConcatChart
Estimate = tuple[float, float, float]
ENDS = 0.4
"""From the middle of a scale from 0 to 1 to where its colours are too strong for text in the other colour."""


def heat_map(table: pd.DataFrame, *, title: str, label: str = "AUC") -> Chart:
    """A table of numbers from 0 to 1 as colours with the numbers in them; — where nothing ran."""
    cells = [
        {"row": str(row), "column": str(column), "value": kept(value), "shown": decimal(float(value))}
        for row, found in table.iterrows()
        for column, value in found.items()
    ]
    both = [alt.Tooltip("row:N", title="row"), alt.Tooltip("column:N"), alt.Tooltip("shown:N", title=label)]
    base = alt.Chart(pd.DataFrame(cells)).encode(
        x=alt.X("column:N", sort=None, title=None, axis=alt.Axis(orient="top", labelAngle=-40, labelLimit=180)),
        y=alt.Y("row:N", sort=None, title=None),
        tooltip=both,
    )
    scale = alt.Scale(domain=[0, 1], domainMid=0.5, interpolate="rgb")
    colours = base.transform_filter("isValid(datum.value)").mark_rect()
    strong = f"isValid(datum.value) && abs(datum.value - 0.5) > {ENDS}"
    return alt.layer(
        colours.encode(color=alt.Color("value:Q", title=label, scale=scale)),
        base.transform_filter(strong).mark_text(style="on_strong").encode(text="shown:N"),
        base.transform_filter(f"!({strong})").mark_text(style="on_weak").encode(text="shown:N"),
        description=title,
    ).properties(width=42 * table.shape[1], height=19 * len(table))


def dots(groups: Mapping[str, Mapping[str, Estimate]], *, label: str, chance: float = 0) -> Chart:
    """A dot with its interval for every row, one colour a group; rows ordered by the first group, best on top."""
    first = next(iter(groups.values()))
    order = sorted(first, key=lambda row: -np.nan_to_num(first[row][0], nan=-2))
    found = [
        {"row": row, "group": name, **told(estimate)}
        for name, rows in groups.items()
        for row, estimate in rows.items()
        if isfinite(estimate[0])
    ]
    shown = [alt.Tooltip("row:N", title="method"), "group:N", alt.Tooltip("shown:N", title=label)]
    chosen = alt.selection_point(name="chosen", fields=["group"], bind="legend")
    base = alt.Chart(pd.DataFrame(found)).encode(
        y=alt.Y("row:N", sort=order, title=None, axis=alt.Axis(grid=True)),
        yOffset=alt.YOffset("group:N", sort=None),
        color=alt.Color("group:N", sort=None, title=None, legend=above(len(groups))),
        opacity=alt.when(chosen).then(alt.value(1)).otherwise(alt.value(0.15)),
        tooltip=shown,
    )
    ends = alt.X("low:Q", title=label, scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=8))
    return alt.layer(
        across(x=chance),
        base.mark_rule(strokeWidth=2.5, strokeOpacity=0.45).encode(x=ends, x2="high:Q"),
        base.mark_point(filled=True, size=52).encode(x=alt.X("value:Q", title=label)).add_params(chosen),
        description=label,
    ).properties(width="container", height=(18 if len(groups) == 1 else 11 * len(groups)) * len(order))


def strips(
    groups: Mapping[str, pd.Series], *, apart: Iterable[str], label: str, line: tuple[float, str] | None = None
) -> Chart:
    """A strip of points for every group with its median; groups apart in another colour, and their range shaded."""
    apart = set(apart)
    found = [
        {"group": name, "value": kept(value), "kind": "strangers" if raw in apart else "related"}
        for raw, name in zip(groups, words(groups), strict=True)
        for value in groups[raw]
    ]
    base = alt.Chart(pd.DataFrame(found)).encode(
        y=alt.Y("group:N", sort=words(groups), title=None),
        color=alt.Color("kind:N", sort=["related", "strangers"], title=None, legend=above(2)),
    )
    values = alt.X("value:Q", title=label, scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=8))
    layers = [
        base.mark_point(filled=True, size=34, opacity=0.55).encode(
            x=values, tooltip=["group:N", alt.Tooltip("value:Q", title=label, format=".2f")]
        ),
        base.mark_tick(thickness=2.5, size=17).encode(x=alt.X("median(value):Q", title=label)),
    ]
    if apart & set(groups):
        reach = pd.concat([groups[name] for name in groups if name in apart])
        shade = pd.DataFrame({"from": [kept(reach.min())], "to": [kept(reach.max())]})
        layers.insert(0, alt.Chart(shade).mark_rect(style="shade").encode(x="from:Q", x2="to:Q"))
    if line:
        layers.append(across(x=line[0], says=line[1]))
    return alt.layer(*layers, description=label).properties(width="container", height=20 * len(groups))


def front(points: Mapping[str, tuple[float, float, str]], *, x: str, y: str) -> Chart:
    """A named dot for every (cost, worth, group), costs on a logarithmic axis; a line joins what nothing is better than
    at its cost or less."""
    found, best = [], -np.inf
    for name, (cost, worth, group) in sorted(points.items(), key=lambda point: (point[1][0], -point[1][1])):
        found.append({"name": name, "cost": kept(cost), "worth": kept(worth), "group": group, "front": worth > best})
        best = max(best, worth)
    chosen = alt.selection_point(name="chosen", fields=["group"], bind="legend")
    groups = list(dict.fromkeys(group for _, _, group in points.values()))
    base = alt.Chart(pd.DataFrame(found)).encode(
        x=alt.X("cost:Q", title=x, scale=alt.Scale(type="log", nice=False, padding=18), axis=alt.Axis(grid=False)),
        y=alt.Y("worth:Q", title=y, scale=alt.Scale(zero=False, padding=12)),
    )
    middle = kept((found[0]["cost"] * found[-1]["cost"]) ** 0.5)  # names stay within the picture on either side of it
    seen = ["name:N", alt.Tooltip("group:N", title="access"), alt.Tooltip("worth:Q", title=y, format=".2f")]
    on_front = base.transform_filter("datum.front")
    return alt.layer(
        on_front.mark_line(interpolate="step-after", style="front"),
        base.mark_point(filled=True, size=60)
        .encode(
            color=alt.Color("group:N", sort=groups, title=None, legend=above(len(groups))),
            shape=alt.Shape("group:N", sort=groups, title=None, legend=above(len(groups))),
            opacity=alt.when(chosen).then(alt.value(1)).otherwise(alt.value(0.12)),
            tooltip=[*seen, alt.Tooltip("cost:Q", title=x, format=",.0f")],
        )
        .add_params(chosen),
        *(
            on_front.transform_filter(f"datum.cost {side} {middle}")
            .mark_text(style="named", align=align, dx=shift, dy=-9)
            .encode(text="name:N")
            for side, align, shift in (("<=", "left", 6), (">", "right", 4))
            if any(row["front"] and (row["cost"] <= middle) == (side == "<=") for row in found)
        ),
        description=f"{y} against {x}",
    ).properties(width="container", height=340)


def bars(scores: Mapping[str, pd.Series], *, label: str) -> Chart:
    """A row of dots for every target, one dot a method."""
    table = pd.DataFrame(dict(scores))
    groups = {name: {words([row])[0]: (value, value, value) for row, value in table[name].items()} for name in table}
    return dots(groups, label=label)


def scatter(suspects: pd.DataFrame, kinds: Mapping[str, str], *, names: Mapping[str, str]) -> Chart:
    """What each suspect still gets right of the forgotten images against its distance from the reference."""
    drawn = suspects.dropna(subset=["accuracy", "reference"])
    shown = pd.DataFrame(
        {
            "role": words(drawn["role"]),
            "kind": drawn["role"].map({role: names[kind] for role, kind in kinds.items()}).to_numpy(),
            "accuracy": drawn["accuracy"].round(DIGITS).to_numpy(),
            "distance": drawn["reference"].round(DIGITS).to_numpy(),
        }
    )
    chosen = alt.selection_point(name="chosen", fields=["kind"], bind="legend")
    base = alt.Chart(shown).encode(
        x=alt.X("accuracy:Q", title="accuracy on unseen images of what was to be forgotten"),
        y=alt.Y("distance:Q", title="distance from the reference", scale=alt.Scale(zero=False)),
        color=alt.Color("kind:N", sort=list(names.values()), title=None, legend=above(len(names))),
        shape=alt.Shape("kind:N", sort=list(names.values()), title=None, legend=above(len(names))),
        opacity=alt.when(chosen).then(alt.value(0.7)).otherwise(alt.value(0.05)),
        tooltip=["role:N", "kind:N", "accuracy:Q", "distance:Q"],
    )
    return alt.layer(base.mark_point(filled=True, size=40).add_params(chosen)).properties(width="container", height=360)


def standing(rows: Mapping[str, Estimate], *, marked: Mapping[str, tuple[str, Estimate]], label: str) -> Chart:
    """All rows as ticks on one line; beneath, what is marked (its short name -> its name), each with its interval."""
    everyone = pd.DataFrame([{"row": row, "line": "all methods", **told(found)} for row, found in rows.items()])
    few = pd.DataFrame([{"row": row, "line": line, **told(found)} for line, (row, found) in marked.items()])
    seen = [alt.Tooltip("row:N", title="method"), alt.Tooltip("shown:N", title=label)]
    order = alt.Scale(domain=["all methods", *marked])
    y = alt.Y("line:N", scale=order, title=None, axis=alt.Axis(ticks=False, domain=False))
    axis = alt.Axis(tickCount=5, grid=False, labelOverlap="greedy", titleAnchor="end", titleLimit=260)
    x = alt.X("value:Q", title=label, axis=axis, scale=alt.Scale(zero=False))
    base = alt.Chart(few).encode(y=y, color=alt.Color("line:N", sort=list(marked), legend=None), tooltip=seen)
    return alt.layer(
        alt.Chart(everyone).mark_tick(style="tick", size=13).encode(x=x, y=y, tooltip=seen),
        base.mark_rule(strokeWidth=3, strokeOpacity=0.4).encode(x=alt.X("low:Q", title=label), x2="high:Q"),
        base.mark_point(filled=True, size=60, opacity=1).encode(x=x),
        description=label,
    ).properties(width="container", height=21 * (1 + len(marked)))
