"""The table of an experiment: rows are the swept methods, columns the metrics that its page names.

`seed` is folded into the mean. What was not measured is —. Published numbers stand in a table of their own.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from experiments.pages.section import NOTHING, probability, values
from experiments.pages.sweep import Experiment, Run
from experiments.storage.files import PUBLISHED
from experiments.storage.tables import published as read_published


def table(experiment: Experiment) -> pd.DataFrame:
    """One row a method, one column a metric of the experiment's page; each cell is mean and interval as text.

    A column `metric@value` takes the runs whose setting `across` has that value. Rows of `controls` show what their
    prefix holds in the records of the first row. Where a method chooses its queries with models besides the source, a
    column says of which roles.
    """
    grouped = experiment.rows()
    shown = {label: _row(experiment, runs) for label, runs in grouped.items()}
    chosen_by = {label: _roles(runs[0].config["method"]) for label, runs in grouped.items()}
    for label, runs in grouped.items():
        done = len(experiment.metrics(runs))
        models = {"Chooses with": chosen_by[label] or "none"} if any(chosen_by.values()) else {}
        access = runs[0].config["method"]["access"]
        shown[label] |= {"Access": access} | models | {"Runs": f"{done} of {len(runs)}"}
    first = next(iter(grouped.values()))
    for label, prefix in (experiment.page.get("controls") or {}).items():
        shown[label] = _row(experiment, first, f"{prefix}/") | {"Access": "the truth", "Runs": ""}
    return pd.DataFrame.from_dict(shown, orient="index")


def columns(page: Mapping[str, Any]) -> dict[str, str]:
    """Titles by metric; those of one side go unless the table goes across a setting."""
    return {key: title for key, title in page["columns"].items() if page.get("across") or "@" not in key}


def fewer(experiment: Experiment) -> dict[str, int]:
    """Titles of the columns that some of a row's runs have no number for, though others have -> how many have one."""
    found: dict[str, int] = {}
    for key, title in columns(experiment.page).items():
        metric, _, side = key.partition("@")
        for runs in experiment.rows().values():
            records = experiment.metrics(runs, side or None)
            known = len(values(records, metric))
            if 0 < known < len(records):
                found[title] = min(known, found.get(title, known))
    return found


def _roles(method: Mapping[str, Any]) -> str:
    """Roles of the models that a method chooses its queries with."""
    given = (method.get("roles") or {}).values()
    return ", ".join(sorted({role for roles in given for role in roles}))


def _row(experiment: Experiment, runs: list[Run], prefix: str = "") -> dict[str, str]:
    cells = {}
    for key, title in columns(experiment.page).items():
        metric, _, side = key.partition("@")
        show = largest if metric in (experiment.page.get("p_values") or ()) else cell
        cells[title] = show(experiment.metrics(runs, side or None), prefix + metric)
    return cells


def cell(records: list[dict[str, float]], key: str) -> str:
    """Mean over those records that have the metric, with the mean interval if all of them have one, too.

    Averaging does not narrow the interval: seeds that share their models bring no new ones, and of seeds that are zoos
    it says what one zoo's models leave open, not how much zoos differ.
    """
    found = values(records, key)
    if not found:
        return NOTHING
    text = _number(float(np.mean(found)))
    ends = [values(records, f"{key}/{end}") for end in ("low", "high")]
    if all(len(end) == len(found) for end in ends):
        low, high = (float(np.mean(end)) for end in ends)
        text += f" [{low:.2f}, {high:.2f}]"
    return text


def largest(records: list[dict[str, float]], key: str) -> str:
    """The largest of the records' p-values: what holds in every zoo, however zoos depend on each other.

    They are the same tasks, so Fisher's product, which takes independent tests, would claim too much; a mean is no
    p-value at all.
    """
    found = values(records, key)
    return probability(max(found)) if found else NOTHING


def published(experiment: Experiment) -> pd.DataFrame:
    """Published rows for the same columns, — where the paper has none; of several sides they belong to the first.

    Raises:
        ValueError: if the file of figures is damaged.
    """
    file = f"{experiment.page.get('published')}.csv"
    if not (PUBLISHED / file).exists():
        return pd.DataFrame()
    figures, first = read_published(file, index="method"), next(iter(experiment.sides()))
    shown = {}
    for key, title in columns(experiment.page).items():
        metric, _, side = key.partition("@")
        known = metric in figures and side in ("", first)
        shown[title] = _printed(figures[metric], file) if known else NOTHING
    return pd.DataFrame(shown, index=figures.index)


def _printed(figures: pd.Series, file: str) -> list[str]:
    try:
        return [_number(x) if pd.notna(x) else NOTHING for x in figures.astype(float)]
    except ValueError as error:
        raise ValueError(f"{PUBLISHED / file} is damaged ({error}); git checkout brings it back") from error


def _number(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 100 else f"{value:,.0f}"
