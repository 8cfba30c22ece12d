"""Pictures of who is believed, of what suspects know and of curves along training, and those of one run's record."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.pages.plots import plain, words
from experiments.storage import record, tables

COLOURS = {"forgotten": "#15803d", "kept": "#c2410c", "judged": "#a16207", "aside": "#6b7280"}
WORDS = {
    "forgotten": "truly forgotten",
    "kept": "knows, whatever it shows",
    "judged": "unlearning method",
    "aside": "encoder and head apart",
}
CURVE_COLOURS = {"retrain": "#15803d", "unrelated": "#1d4ed8", "approximate": "#c2410c"}
CURVE_WORDS = {"retrain": "directly unlearned", "unrelated": "unrelated", "approximate": "approximately unlearned"}
CALIBRATING = "retrain_calibrate"
"""The role whose models say how near a retrained model is to others."""


def separation(folder: Path) -> Figure:
    """Every suspect's distance from the calibrating retrained models, and the spread of these if it means anything."""
    saved, suspects = record.finished(folder) or {}, record.matrix(folder, "suspects")
    bound = saved["metrics"].get("spread") if not calibrated_on_itself(saved["config"]["method"]) else None
    return strips(suspects, kinds(saved["config"]["testbed"], suspects["role"]), bound=bound)


def verdict_map(folder: Path) -> Figure:
    """What each suspect still gets right of the forgotten images against its distance from the reference."""
    saved, suspects = record.finished(folder) or {}, record.matrix(folder, "suspects")
    return scatter(suspects, kinds(saved["config"]["testbed"], suspects["role"]))


def curves(folder: Path) -> Figure | None:
    """Distance from the reference along training; None if no checkpoint was measured."""
    measured = record.matrix(folder, "curves")
    return lines(measured, published()) if measured["epoch"].nunique() > 1 else None


def kinds(testbed: Mapping[str, Any], roles: Iterable[str]) -> dict[str, str]:
    """Role -> forgotten, kept, aside or judged, by the testbed's configuration."""
    named = {role: kind for kind in ("forgotten", "kept", "aside") for role in testbed.get(kind) or ()}
    return {role: named.get(role, "judged") for role in dict.fromkeys(roles)}


def calibrated_on_itself(method: Any) -> bool:
    """Whether a method, by its configuration, looks at models of the calibrating role before it measures.

    It has then seen the very models whose spread says what to believe: they look alike to it as no new model can.

    >>> calibrated_on_itself({"roles": {"outside": ["retrain_calibrate"]}})
    True
    """
    return CALIBRATING in _words_in(method)


def _words_in(part: Any) -> set[str]:
    parts = part.values() if isinstance(part, Mapping) else part if isinstance(part, list | tuple) else ()
    return {part} if isinstance(part, str) else set().union(*map(_words_in, parts))


def strips(suspects: pd.DataFrame, kinds: Mapping[str, str], *, bound: float | None) -> Figure:
    """A strip for every role: distances from the calibrating retrained models, and the spread of these."""
    order = [role for kind in COLOURS for role in kinds if kinds[role] == kind and role in set(suspects["role"])]
    figure = Figure(figsize=(8, 0.36 * len(order) + 1.4), layout="constrained")
    axes = figure.subplots()
    for row, role in enumerate(order):
        values = suspects.loc[suspects["role"] == role, "retrains"]
        axes.scatter(values, [row] * len(values), color=COLOURS[kinds[role]], s=28, alpha=0.7, linewidths=0)
        if values.isna().any():
            axes.text(
                0.99, row, "no field", transform=axes.get_yaxis_transform(), ha="right", va="center", color="grey"
            )
    if bound is not None:
        label = "about nine in ten new retrained models lie left of it"
        axes.axvline(bound, color="grey", linestyle="--", linewidth=1, label=label)
    for kind in dict.fromkeys(kinds[role] for role in order):
        axes.scatter([], [], color=COLOURS[kind], label=WORDS[kind])
    axes.set_yticks(range(len(order)), labels=words(order))
    axes.invert_yaxis()
    axes.set_xlabel("mean distance from the calibrating retrained models")
    axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))
    return plain(figure)


def scatter(suspects: pd.DataFrame, kinds: Mapping[str, str], *, names: Mapping[str, str] = WORDS) -> Figure:
    """What each suspect still gets right of the forgotten images against its distance from the reference."""
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots()
    means = suspects.groupby("role")[["accuracy", "reference"]].mean()
    for kind, colour in COLOURS.items():
        of_kind = suspects[suspects["role"].map(dict(kinds)) == kind]
        if len(of_kind):
            axes.scatter(
                of_kind["accuracy"],
                of_kind["reference"],
                color=colour,
                s=28,
                alpha=0.6,
                linewidths=0,
                label=names[kind],
            )
    for role, accuracy, distance, height in _labelled(means.dropna()):
        axes.annotate(
            role.replace("_", " "),
            (accuracy, distance),
            xytext=(accuracy + 0.04, height),
            fontsize="x-small",
            color=COLOURS[kinds[role]],
            va="center",
            arrowprops={"arrowstyle": "-", "color": "lightgrey", "linewidth": 0.6, "shrinkA": 0},
        )
    axes.set_xlabel("accuracy on unseen images of what was to be forgotten")
    axes.set_ylabel("distance from the reference")
    axes.legend(fontsize="small")
    return plain(figure)


def _labelled(means: pd.DataFrame) -> list[tuple[str, float, float, float]]:
    """Role, accuracy, distance and the height of its label, so that labels of near points stand above each other."""
    gap = 0.035 * max(np.ptp(means["reference"]), 1e-9)
    found: list[tuple[str, float, float, float]] = []
    for role, (accuracy, distance) in means.sort_values("reference").iterrows():
        near = [height for _, x, _, height in found if abs(x - accuracy) < 0.25]
        found.append((str(role), accuracy, distance, max([distance, *(height + gap for height in near)])))
    return found


def lines(measured: pd.DataFrame, reference: pd.DataFrame, *, names: Mapping[str, str] = CURVE_WORDS) -> Figure:
    """Distance from the reference along training, mean and range over models; published curves thin beneath.

    Both tables have the columns role, epoch, distance.
    """
    figure = Figure(figsize=(7, 4.4), layout="constrained")
    axes = figure.subplots()
    for role, found in reference.groupby("role"):
        share = found["epoch"] / found["epoch"].max()
        axes.plot(share, found["distance"], color=CURVE_COLOURS[str(role)], linewidth=0.8, alpha=0.6, linestyle=":")
    for role, found in measured.groupby("role", sort=False):
        curve, colour = found.groupby("epoch")["distance"].agg(["min", "mean", "max", "size"]), CURVE_COLOURS[str(role)]
        share = curve.index / curve.index.max()
        axes.fill_between(share, curve["min"], curve["max"], color=colour, alpha=0.15)
        label = f"{names[str(role)]} ({curve['size'].iloc[-1]} models)"
        axes.plot(share, curve["mean"], color=colour, marker=".", label=label)
    if len(reference):
        axes.plot(
            [], [], color="grey", linewidth=0.8, linestyle=":", label="published (CIFAR-10, 200 epochs, digitised)"
        )
    axes.set_xlabel("share of training")
    axes.set_ylabel("distance from the reference")
    axes.legend(fontsize="small")
    return plain(figure)


def published() -> pd.DataFrame:
    """The paper's curves on CIFAR-10, read off its figure: columns role, epoch, distance."""
    figure = tables.published("unlearning_paper_figure_digitised.csv", index="dataset")
    figure = figure.loc["CIFAR10"].reset_index(drop=True).dropna(subset="distance")
    roles = {"direct": "retrain", "unrelated": "unrelated", "approx": "approximate"}
    return figure.assign(role=figure["comparison"].map(roles))
