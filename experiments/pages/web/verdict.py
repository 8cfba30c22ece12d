"""What a testbed finds, in one sentence and one small picture, every number from its records."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

from experiments.pages.section import NOTHING, estimate
from experiments.pages.sweep import Experiment
from experiments.pages.tables import cell
from experiments.pages.web import charts

Estimates = dict[str, tuple[float, float, float]]


def sentence(found: Experiment, says: Mapping[str, Any], key: str = "verdict") -> str:
    """The testbed's sentence with its numbers; what to do where the row that it speaks of has not run.

    Args:
        found: the testbed's experiment.
        says: its settings, as `conf/web` explains them.
        key: which of its sentences.
    """
    methods = competing(found, says)
    if says["ours"] not in methods:
        return f"{NOTHING} (missing): python run.py experiment={found.name}"
    best = max(methods, key=lambda label: methods[label][0])
    value, low, _ = methods[best]
    others = {label: one[0] for label, one in methods.items() if label != best}
    return says[key].format(
        best=best,
        best_value=text(found, says, best),
        ours=says["ours"],
        value=text(found, says, says["ours"]),
        other=text(found, {**says, "metric": says.get("other", says["metric"])}, says["ours"]),
        place=1 + sum(one[0] > methods[says["ours"]][0] for one in methods.values()),
        methods=len(methods),
        level=sum(one >= (low if isfinite(low) else value) for one in others.values()) or "none",
        **{role: text(found, says, label) for role, label in says["marked"].items()},
    )


def picture(found: Experiment, says: Mapping[str, Any]) -> charts.Chart | None:
    """All methods on one line, and beneath it the best, ours and what marks floor and ceiling; None if none has run."""
    known, methods = estimates(found, says), competing(found, says)
    if says["ours"] not in methods:
        return None
    best = max(methods, key=lambda label: methods[label][0])
    named = {best: best, says["ours"]: says["ours"]} | says["marked"]
    return charts.standing(
        methods,
        marked={name: (label, known[label]) for name, label in named.items() if isfinite(known[label][0])},
        label=says["label"],
    )


def competing(found: Experiment, says: Mapping[str, Any]) -> Estimates:
    """The methods that were measured: neither what is marked, nor controls, nor nulls, which see no trained model."""
    nulls = {label for label, runs in found.rows().items() if runs[0].config["method"]["access"] == "architecture"}
    aside = {*says["marked"].values(), *_controls(found), *nulls}
    return {label: one for label, one in estimates(found, says).items() if label not in aside and isfinite(one[0])}


def estimates(found: Experiment, says: Mapping[str, Any]) -> Estimates:
    """Mean and mean interval of the metric for each row of the experiment, those of its controls among them."""
    rows = found.rows()
    named = {label: (runs, "") for label, runs in rows.items()}
    named |= {label: (next(iter(rows.values())), f"{prefix}/") for label, prefix in _controls(found).items()}
    return {
        label: estimate(found.metrics(runs, says.get("side")), prefix + says["metric"])
        for label, (runs, prefix) in named.items()
    }


def text(found: Experiment, says: Mapping[str, Any], label: str) -> str:
    """What the table says of that row."""
    rows, prefix = found.rows(), _controls(found).get(label)
    runs = rows.get(label, []) if prefix is None else next(iter(rows.values()))
    return cell(found.metrics(runs, says.get("side")), f"{prefix}/{says['metric']}" if prefix else says["metric"])


def _controls(found: Experiment) -> dict[str, str]:
    return found.page.get("controls") or {}
