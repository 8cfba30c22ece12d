"""An experiment's table for a browser: the Markdown table's cells, published rows beside them, links to records."""

import os
from pathlib import Path
from typing import NamedTuple

from experiments.pages.plots import words
from experiments.pages.section import NOTHING
from experiments.pages.sweep import Experiment, Run, look_up
from experiments.pages.tables import columns, published, table


class Column(NamedTuple):
    """One column of numbers."""

    title: str
    group: str
    """What the reader may choose it by: the attack, the side; empty for one that belongs to none."""
    main: bool
    """Whether it is shown before anything is chosen."""


class Row(NamedTuple):
    """One method."""

    label: str
    access: str
    cells: list[str]
    """Measured; as the Markdown table says them."""
    published: list[str]
    """As published; empty if nothing was."""
    chosen_with: str
    """Roles of the models that it chooses its queries with."""
    runs: str
    """How many of its runs are there."""
    records: list[tuple[str, str]]
    """What the runs that are there are called, and the way to each one's report."""


def shown(found: Experiment, main: list[str]) -> list[Column]:
    """The columns of numbers, first those whose metric is in `main`, in its order; a reader sees those, or all.

    A metric of one side stands for the metric where a table has no sides.
    """
    known = columns(found.page)
    asked = dict.fromkeys(key if key in known else key.partition("@")[0] for key in main)
    few = [key for key in asked if key in known]
    order = [*few, *(key for key in known if key not in few)]
    return [Column(known[key], _group(key), key in few or not few) for key in order]


def choices(found: Experiment) -> dict[str, str]:
    """Groups of columns by their names: the side's, the title of a column that is alone, or plain words."""
    known = columns(found.page)
    groups: dict[str, list[str]] = {}
    for key, title in known.items():
        groups.setdefault(_group(key), []).append(title)
    sides = {str(side): title for side, title in found.sides().items()}
    named = {
        group: sides.get(group) or (titles[0] if len(titles) == 1 else words([group])[0])
        for group, titles in groups.items()
    }
    return {group: name for group, name in named.items() if group}


def rows(found: Experiment, titles: list[str], folder: Path) -> list[Row]:
    """Every method of the table, then what was published alone.

    Args:
        found: the experiment.
        titles: of its columns, in the order of the cells.
        folder: the page's, from which links lead.
    """
    measured, printed, runs = table(found), published(found), found.rows()
    made = []
    for label, cells in measured.iterrows():
        own = [run for run in runs.get(str(label), []) if run.record]
        beside = [str(cell) for cell in printed.loc[label, titles]] if label in printed.index else []
        records = [(_name(run, found.page.get("across")), _way(run, folder)) for run in own]
        aside = str(cells.get("Chooses with", ""))
        values = [str(cell) for cell in cells[titles]]
        made.append(Row(str(label), str(cells["Access"]), values, beside, aside, str(cells["Runs"]), records))
    for label in printed.index.difference(measured.index, sort=False):
        beside = [str(cell) for cell in printed.loc[label, titles]]
        made.append(Row(str(label), NOTHING, [NOTHING] * len(titles), beside, "", "", []))
    return made


def _group(key: str) -> str:
    """What a metric speaks of, by its key.

    >>> _group("spearman_without@own"), _group("auc/retrains/all"), _group("cost/gradient_per_model")
    ('own', 'all', '')
    """
    metric, _, side = key.partition("@")
    head, _, last = metric.rpartition("/")
    return side or (last if head and head != "cost" else "")


def _name(run: Run, across: str | None) -> str:
    """What tells a run from others of its row."""
    return f"seed {run.seed}" + (f", {look_up(run.config, across)}" if across else "")


def _way(run: Run, folder: Path) -> str:
    return Path(os.path.relpath(run.folder / "report.json", folder)).as_posix()
