"""What methods there are: read from `conf/method`, their costs from recorded runs."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.pages import sweep
from experiments.pages.section import NOTHING
from experiments.storage import configuration
from experiments.storage.files import ROOT

FOLDER = ROOT / "conf" / "method"
KINDS = ("modelgif", "label", "probability", "logit", "input-gradient", "feature", "weights", "architecture")
"""ModelGiF with its variations, then all others by their access, from the least to the most; the nulls last."""
MAIN = ("ip_protection", "task_relatedness", "unlearning", "stronger")
"""Experiments whose costs are shown, the first that has the method."""
COSTS = ("cost/gradient_per_model", "cost/forward_per_model", "cost/seconds_per_model")


def table(kind: str, records: Path) -> pd.DataFrame:
    """The methods of one of KINDS: what each is and by whom, of what it is made, what it needs and costs a model."""
    rows = {}
    for name, method in methods().items():
        if kind == kind_of(name, method):
            rows[f"`{name}`"] = {
                "Label": method["label"],
                "What it is, and whose": about(name),
                "Shows, takes, compares": ", ".join(made_of(method)),
                "Needs": ", ".join([*_roles(method), *method.get("needs", [])]) or "nothing else",
                "Gradients, forwards, seconds a model": _cost(method["label"], records),
            }
    return pd.DataFrame.from_dict(rows, orient="index")


def kind_of(name: str, method: Mapping[str, Any]) -> str:
    """Which of KINDS a method is of."""
    return "modelgif" if name.split("/")[0] in ("modelgif", "modelgif_plus", "one_map") else method["access"]


@cache
def methods() -> dict[str, dict[str, Any]]:
    """Every method by its name on the command line, composed as on lineage and not resolved."""
    names = sorted(file.relative_to(FOLDER).with_suffix("").as_posix() for file in FOLDER.rglob("*.yaml"))
    return {
        name: configuration.part("method", name, "gauge=ip_protection")
        for name in names
        if not name.startswith("queries/")
    }


def made_of(method: Mapping[str, Any]) -> list[str]:
    """The bare names of a method's three functions: what it shows to models, takes from them and compares.

    >>> made_of(methods()["akh"])
    ['`misclassified_samples`', '`outputs`', '`agreement`']
    """
    calls = [method[part] for part in ("queries", "represent", "distance")]
    given = calls[0].get("choose") or {}
    chosen = given.get("_target_") if isinstance(given, Mapping) else None  # or the testbed's own choice
    names = [call["_target_"].rpartition(".")[2] for call in calls]
    return [
        f"`{names[0]}`" + (f" to `{chosen.rpartition('.')[2]}`" if chosen else ""),
        f"`{names[1]}`",
        f"`{names[2]}`",
    ]


def about(name: str) -> str:
    """What the method's file says of it in its first lines.

    >>> about("agreement")
    'Share of random samples on which the predicted labels differ: the floor'
    """
    lines = (FOLDER / f"{name}.yaml").read_text().splitlines()
    first = next((number for number, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return re.sub(r"\s+", " ", " ".join(line.lstrip("# ") for line in lines[:first])).strip()


def _roles(method: Mapping[str, Any]) -> list[str]:
    given = method.get("roles") or {}
    if not isinstance(given, Mapping):
        return ["models: the testbed's gauge"]
    given = given.values()
    models = sorted({role for roles in given for role in roles})
    return [f"models: {', '.join(models)}" + (", scored (replication)" if method.get("leak") else "")] if models else []


def _cost(label: str, records: Path) -> str:
    known = _costs(records)
    name = next((name for name in MAIN if (name, label) in known), None)
    if name is None:
        return NOTHING
    gradients, forwards, seconds = known[name, label]
    return f"{gradients:,.0f}, {forwards:,.0f}, {seconds:.2f} ({name})"


@cache
def _costs(records: Path) -> dict[tuple[str, str], list[float]]:
    """(experiment, label) -> the mean of each of COSTS over its recorded runs, by the label that the method has now."""
    found: dict[tuple[str, str], list[list[float]]] = {}
    for name in MAIN:
        for run in sweep.experiment(name, records).done:
            measured = run.record["metrics"] if run.record else {}
            found.setdefault((name, run.config["method"]["label"]), []).append(
                [measured.get(one, 0.0) for one in COSTS]
            )
    return {key: pd.DataFrame(rows).mean().tolist() for key, rows in found.items()}
