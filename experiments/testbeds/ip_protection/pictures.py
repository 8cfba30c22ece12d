"""Pictures of one run of IP protection, drawn from the folder of its record, and of curves over all of its zoos."""

from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from experiments.pages import plots
from experiments.pages.plots import RELATED, plain
from experiments.pages.sweep import Experiment
from experiments.statistics.intervals import threshold
from experiments.storage import record
from experiments.testbeds.ip_protection.copies import KINDS


def groups(folder: Path) -> Figure:
    """A strip of points for every group of models, and the distance that 5 % of all strangers stay below."""
    suspects = record.matrix(folder, "suspects")
    strips = {str(role): models["distance"] for role, models in suspects.groupby("role", sort=False)}
    limit = threshold(suspects.loc[_strangers(suspects), "distance"].to_numpy(), 0.05)
    apart = [role for role in strips if role.startswith(KINDS)]
    line = (limit, "5 % of the strangers lie left of it")
    return plots.strips(strips, apart=apart, label="distance to the victim", line=line)


def roc(folder: Path) -> Figure:
    """One curve for the copies of every attack, against the strangers of its task."""
    from sklearn.metrics import RocCurveDisplay  # only here: it takes seconds, and tables draw no such curve

    suspects = record.matrix(folder, "suspects")
    unrelated = suspects[_strangers(suspects)]
    copies = suspects[~_strangers(suspects) & (suspects["copy"] != 0)]
    attacks = copies.groupby("role", sort=False)
    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.subplots()
    for turn, (attack, related) in enumerate(attacks, start=1):
        both = pd.concat([related, unrelated[unrelated["task"] == related["task"].iloc[0]]])
        RocCurveDisplay.from_predictions(
            both["role"] == attack,
            -both["distance"],
            name=str(attack).replace("_", " "),
            ax=axes,
            plot_chance_level=turn == len(attacks),
            curve_kwargs={"alpha": 0.8},
        )
    axes.set_xlabel("false positive rate")
    axes.set_ylabel("true positive rate")
    axes.legend(loc="lower right", fontsize="small")
    return plain(figure)


def budget(folder: Path) -> Figure | None:
    """AUC against the number of reference points, one small plot an attack, with the interval as a band.

    None if there is one number only, as of a method that shows all its samples in one piece.
    """
    if not (folder / "curves.csv").exists():
        return None
    curves = record.matrix(folder, "curves").groupby("attack", sort=False)
    rows, columns = -(-len(curves) // 3), 3
    figure = Figure(figsize=(9, 2.2 * rows + 0.4), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes, (attack, curve) in zip(grid.flat, curves, strict=False):
        axes.fill_between(curve["references"], curve["low"], curve["high"], color=RELATED, alpha=0.18)
        axes.plot(curve["references"], curve["value"], color=RELATED, marker=".")
        axes.axhline(0.5, color="grey", linestyle=":", linewidth=1)
        axes.set_xscale("log", base=2)
        axes.set_ylim(-0.03, 1.03)
        axes.set_title(str(attack).replace("_", " "), fontsize="medium")
    for axes in list(grid.flat)[len(curves) :]:
        axes.remove()
    figure.supxlabel("reference points")
    figure.supylabel("AUC")
    return plain(figure)


def budgets(found: Experiment, draw: Any) -> Any:
    """AUC against the number of reference points, attack by attack: means over zoos, and of their intervals."""
    curves: dict[str, dict[str, list[tuple[float, ...]]]] = {}
    for label, runs in found.rows().items():
        done = [run for run in runs if run.record and "curves.csv" in run.record["files"]]
        tables = [record.matrix(run.folder, "curves") for run in done]
        for (attack, at), one in pd.concat(tables).groupby(["attack", "references"], sort=False) if tables else ():
            points = curves.setdefault(label, {}).setdefault(str(attack), [])
            points.append((at, *one[["value", "low", "high"]].mean()))
    first = next(iter(curves), None)
    return (
        draw.choice(curves, first=first, x="reference points", y="AUC of copies against strangers") if first else None
    )


def _strangers(suspects: pd.DataFrame) -> pd.Series:
    return suspects["role"].str.startswith(KINDS)
