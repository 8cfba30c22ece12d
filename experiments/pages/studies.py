"""Sections and pictures of a study's page: its trials, and its front where it has two objectives."""

import re
from collections import Counter

import pandas as pd
from matplotlib.figure import Figure

from experiments.pages import plots
from experiments.pages.section import NOTHING, decimal, mean, section, values
from experiments.pages.sweep import Experiment
from experiments.study import plan


def front(found: Experiment) -> Figure | None:
    """Every row by its two objectives, the first upwards, the second, a cost, to the right; None if nothing has run."""
    worth, cost = plan.plan(found.name)["objectives"]
    table = _measured(found)
    rows = zip(table.index, table[cost], table[worth], table["access"], strict=True)
    points = {str(label): (float(at), float(value), str(access)) for label, at, value, access in rows}
    titles = found.page["columns"]
    return plots.front(points, x=titles.get(cost, cost), y=titles.get(worth, worth)) if points else None


def on_front(found: Experiment) -> str:
    """The rows that no other one is better than in one objective and at least as good in all others."""
    objectives = plan.plan(found.name)["objectives"]
    table, rows = _measured(found), {}
    costs = table[list(objectives)] * [-1 if direction == "maximize" else 1 for direction in objectives.values()]
    best = table[[not dominated(row, costs) for row in costs.index]]
    for label, row in best.sort_values(list(objectives)[-1]).iterrows():
        runs = found.metrics(found.rows()[str(label)])
        rows[label] = {found.page["columns"].get(key, key): f"{row[key]:,.4g}" for key in objectives}
        first = values(runs, next(iter(objectives)))
        rows[label]["of single zoos"] = f"{decimal(min(first))} to {decimal(max(first))}"
    return section(
        "**The front**: no trial is better than these in one objective and at least as good in the other. They are "
        "the best of many on the very zoos that the search looked at, so others will see less of the difference "
        "between them. Nothing was pruned, for Optuna prunes by one objective alone.",
        pd.DataFrame.from_dict(rows, orient="index"),
    )


def dominated(label: object, costs: pd.DataFrame) -> bool:
    """Whether another row is at least as low in every column, and lower in one.

    >>> costs = pd.DataFrame({"a": [1, 1, 2], "b": [2, 1, 0]})
    >>> [dominated(row, costs) for row in costs.index]
    [True, False, False]
    """
    own = costs.loc[label]  # pyright: ignore[reportArgumentType, reportCallIssue]
    return bool(((costs <= own).all(axis=1) & (costs < own).any(axis=1)).any())


def trials(found: Experiment) -> str:
    """What became of the trials, and the best value of each with the rungs that it was measured at."""
    chosen = plan.plan(found.name)
    tried = plan.trials(plan.file(found.name, found.runs[0].folder.parent, found.given))
    states = Counter(trial["state"] for trial in tried)
    (key, rungs), *_ = [*chosen.get("rungs", {}).items(), ("", [])]
    rows = {}
    for trial in tried:
        settings = [
            f"{_bare(name.removesuffix('._target_'))} {_bare(value)}" for name, value in trial["parameters"].items()
        ]
        reached = dict(zip(rungs, trial["rungs"], strict=False))
        ends = dict(zip(chosen["objectives"], trial["values"] or [], strict=False))
        rows[trial["number"]] = (
            {"Settings": ", ".join(settings)}
            | {f"{key.rpartition('.')[2]} {rung}": decimal(reached.get(rung, float("nan"))) for rung in rungs}
            | {title: f"{ends[name]:,.4g}" if name in ends else NOTHING for name, title in _titles(found).items()}
            | {"State": trial["state"] + (f": {trial['reason']}" if trial["reason"] else "")}
        )
    counts = ", ".join(f"{number} {state}" for state, number in states.items())
    return section(
        f"**Trials**: {counts}. Each value is the mean over seeds "
        f"{', '.join(map(str, chosen['seeds']))}; every measurement is an ordinary run.",
        pd.DataFrame.from_dict(rows, orient="index"),
    )


def _bare(value: object) -> str:
    """What a parameter is called: of a dotted path, or of a call, the last name.

    >>> _bare("modelgif_core.readout.label_odds"), _bare("{_target_: a.b.c, _partial_: true}"), _bare(0.5)
    ('label_odds', 'c', '0.5')
    """
    return re.sub(r"^(\{_target_: )?([\w/]+\.)*([\w/]+).*", r"\3", value) if isinstance(value, str) else str(value)


def _titles(found: Experiment) -> dict[str, str]:
    return {key: found.page["columns"].get(key, key) for key in plan.plan(found.name)["objectives"]}


def _measured(found: Experiment) -> pd.DataFrame:
    """The mean objectives of every row that has run, and its access."""
    rows = {}
    for label, runs in found.rows().items():
        means = {key: mean(found.metrics(runs), key) for key in plan.plan(found.name)["objectives"]}
        rows[label] = means | {"access": runs[0].config["method"]["access"]}
    return pd.DataFrame.from_dict(rows, orient="index").dropna()
