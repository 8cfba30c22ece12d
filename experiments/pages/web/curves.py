"""Curves with their bands for a browser, as Altair charts."""

from collections.abc import Iterable, Mapping

import altair as alt
import pandas as pd

from experiments.pages.plots import words
from experiments.pages.web.marks import DIGITS, above, across, kept, told


def bands(lines: Mapping[str, Iterable[tuple[float, float, float, float]]], *, x: str, y: str) -> alt.LayerChart:
    """A line with its band for every name, through points (at, value, low, high); the dotted one is chance, 0.5."""
    found = [
        {"name": name, "at": kept(at), **told(estimate)}
        for name, points in lines.items()
        for at, *estimate in sorted(points)
    ]
    chosen = alt.selection_point(name="chosen", fields=["name"], bind="legend")
    base = alt.Chart(pd.DataFrame(found)).encode(
        x=alt.X("at:Q", title=x, scale=alt.Scale(zero=False)),
        color=alt.Color("name:N", sort=None, title=None, legend=above(len(lines))),
    )
    seen = [alt.Tooltip("name:N"), alt.Tooltip("at:Q", title=x, format=".2f"), alt.Tooltip("shown:N", title=y)]
    height = alt.Y("value:Q", title=y, scale=alt.Scale(zero=False))
    strong, faint = (alt.when(chosen).then(alt.value(full)).otherwise(alt.value(0.04)) for full in (1, 0.13))
    return alt.layer(
        across(y=0.5),
        base.mark_area().encode(y=alt.Y("low:Q", title=y), y2="high:Q", opacity=faint),
        base.mark_line().encode(y=height, opacity=strong),
        base.mark_point(filled=True, size=44).encode(y=height, opacity=strong, tooltip=seen).add_params(chosen),
        description=f"{y} against {x}",
    ).properties(width="container", height=300)


def lines(
    measured: pd.DataFrame, reference: pd.DataFrame, *, names: Mapping[str, str], y: str = "distance"
) -> alt.LayerChart:
    """Curves along training, mean and range over models; published ones dotted. Columns role, epoch, distance."""
    share = measured["epoch"] / measured.groupby("role")["epoch"].transform("max")
    own = measured.assign(share=share, name=measured["role"].map(dict(names)))
    drawn = own.groupby(["name", "share"], sort=False)[y].agg(["min", "mean", "max"]).round(DIGITS).reset_index()
    colour = alt.Color("name:N", sort=list(names.values()), title=None, legend=above(len(names)))
    base = alt.Chart(drawn).encode(x=alt.X("share:Q", title="share of training"), color=colour)
    title = f"{y} from the reference"
    height = alt.Y("mean:Q", title=title, scale=alt.Scale(zero=False))
    seen = [alt.Tooltip("name:N"), *(alt.Tooltip(f"{at}:Q", format=".3f") for at in ("mean", "min", "max"))]
    layers = [
        base.mark_area(opacity=0.15).encode(y=alt.Y("min:Q", title=title), y2="max:Q"),
        base.mark_line().encode(y=height),
        base.mark_point(filled=True, size=36).encode(y=height, tooltip=seen),
    ]
    if len(reference):
        share = reference.groupby("role")["epoch"].transform(lambda epoch: epoch / epoch.max())
        printed = reference.assign(share=share, name=reference["role"].map(dict(names)))[["name", "share", y]]
        below = alt.Chart(printed.round(DIGITS)).mark_line(strokeDash=[2, 3], strokeWidth=1.2)
        layers.insert(0, below.encode(x="share:Q", y=alt.Y(f"{y}:Q", title=title), color=colour, detail="name:N"))
    return alt.layer(*layers, description=f"{y} along training").properties(width="container", height=300)


def choice(
    curves: Mapping[str, Mapping[str, Iterable[tuple[float, float, float, float]]]], *, first: str, x: str, y: str
) -> alt.LayerChart:
    """Lines as `bands` draws them, of one method that the reader chooses, the band of a line that is singled out.

    x is a count that doubles from point to point.
    """
    found = [
        {"method": method, "name": words([name])[0], "at": at, **told(estimate)}
        for method, lines in curves.items()
        for name, points in lines.items()
        for at, *estimate in points
    ]
    names = list(dict.fromkeys(row["name"] for row in found))
    method = alt.param(name="method", value=first, bind=alt.binding_select(options=list(curves), name="Method: "))
    chosen = alt.selection_point(name="chosen", fields=["name"], bind="legend")
    base = (
        alt.Chart(pd.DataFrame(found))
        .transform_filter("datum.method === method")
        .encode(
            x=alt.X("at:Q", title=x, scale=alt.Scale(type="log", base=2)),
            color=alt.Color("name:N", sort=names, scale=alt.Scale(domain=names), title=None, legend=above(len(names))),
        )
    )
    height = alt.Y("value:Q", title=y, scale=alt.Scale(domain=[0, 1]))
    strong = alt.when(chosen).then(alt.value(1)).otherwise(alt.value(0.06))
    alone = alt.when(chosen, empty=False).then(alt.value(0.2)).otherwise(alt.value(0))
    seen = [alt.Tooltip("name:N"), alt.Tooltip("at:Q", title=x), alt.Tooltip("shown:N", title=y)]
    return (
        alt.layer(
            across(y=0.5),
            base.mark_area().encode(y=alt.Y("low:Q", title=y), y2="high:Q", opacity=alone),
            base.mark_line().encode(y=height, opacity=strong),
            base.mark_point(filled=True, size=40).encode(y=height, opacity=strong, tooltip=seen).add_params(chosen),
            description=f"{y} against {x}",
        )
        .add_params(method)
        .properties(width="container", height=300)
    )
