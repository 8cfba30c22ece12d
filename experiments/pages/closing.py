"""How a run, or a sweep of runs, ends on a terminal: headline numbers, files, what to do next."""

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from experiments.commands.refusal import STOPPED
from experiments.pages import sweep
from experiments.pages.section import probability
from experiments.storage import configuration
from experiments.storage.files import ROOT

MOST = 12
"""So many numbers are shown of a run; its report has the others."""
MOST_RUNS = 40
"""And so many runs of a sweep; its page has the others."""
PAGE = Path("results/page/index.html")


def show(config: Mapping[str, Any], folder: Path, saved: Mapping[str, Any], console: Console | None = None) -> None:
    """Print how a single run has ended, where a person reads it: silent in pipes, logs and jobs of a sweep."""
    console = console or Console(highlight=False, markup=False)
    if not console.is_terminal or STOPPED in os.environ:
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    for title, text in numbers(config, saved["metrics"]).items():
        table.add_row(title, text)
    console.print(table)
    names = sorted([*saved["files"], "report.json", *(file.name for file in folder.glob("*.png"))])
    console.print(f"files  {folder}/{{{','.join(names)}}}", soft_wrap=True)
    for command, what in following(config).items():
        console.print(f"next   {command:<46} {what}", soft_wrap=True)


def show_all(ended: Sequence[tuple[str, Mapping[str, Any]]], console: Console | None = None) -> None:
    """Print one line for each run of a sweep that has ended well: what was swept, and its headline number.

    Args:
        ended: (what was swept, report) of each.
        console: a terminal, or nothing is said.
    """
    console = console or Console(stderr=True, highlight=False, markup=False)
    if not console.is_terminal or not ended:
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    for swept, saved in ended[:MOST_RUNS]:
        title, text = next(iter(numbers(saved["config"], saved["metrics"]).items()), ("", ""))
        table.add_row(swept, title, text)
    console.print(table)
    if len(ended) > MOST_RUNS:
        console.print(f"and {len(ended) - MOST_RUNS} more")
    for command, what in following(ended[0][1]["config"]).items():
        console.print(f"next   {command:<46} {what}", soft_wrap=True)


def numbers(config: Mapping[str, Any], metrics: Mapping[str, float]) -> dict[str, str]:
    """The metrics that the run's page shows, by their titles there, first the one that its testbed is asked for.

    Of a testbed without a page, the metrics that have an interval.
    """
    page = sweep.page(_question(config))
    titles: dict[str, str] = {}
    for key, title in page.get("columns", {}).items():
        metric, _, side = key.partition("@")
        if not side or side == _side(config, page.get("across")):
            titles.setdefault(metric, title)
    known = titles or {key: key for key in metrics if f"{key}/low" in metrics}
    keys = sorted(known, key=lambda key: key != page.get("answer"))
    shown = [key for key in keys if key in metrics and not key.startswith("cost/")][:MOST]
    tests = page.get("p_values") or ()
    return {titles.get(key, key): probability(metrics[key]) if key in tests else number(metrics, key) for key in shown}


def number(metrics: Mapping[str, float], key: str) -> str:
    """A metric with its interval, if it has one.

    >>> number({"auc": 0.9, "auc/low": 0.7, "auc/high": 1.0}, "auc")
    '0.90 [0.70, 1.00]'
    """
    ends = [metrics.get(f"{key}/{end}") for end in ("low", "high")]
    text = f"{metrics[key]:.3g}" if abs(metrics[key]) >= 100 else f"{metrics[key]:.2f}"
    return text if None in ends else f"{text} [{ends[0]:.2f}, {ends[1]:.2f}]"


def following(config: Mapping[str, Any]) -> dict[str, str]:
    """What to do next, command by command, and what each does."""
    name = _question(config)
    commands = {}
    if name == config["name"]:
        elsewhere = [f"results={place}" for place in [config.get("results", "results")] if place != "results"]
        command = shlex.join(["python", "-m", "experiments.pages", name, *elsewhere])
        commands[command] = "the table of this experiment"
    elif name in configuration.names("experiment"):
        commands[f"python run.py experiment={name}"] = "the same question to every method"
    there = (ROOT / PAGE).exists()
    commands["python -m experiments.page"] = f"{'anew: ' if there else ''}all that is recorded, to look at: {PAGE}"
    return commands


def _side(config: Mapping[str, Any], across: str | None) -> str | None:
    """The run's value of the setting that its page goes across; None if there is none."""
    try:
        return str(sweep.look_up(dict(config), across)) if across else None
    except (KeyError, TypeError):
        return None


def _question(config: Mapping[str, Any]) -> str:
    """The experiment whose page says what a run is asked: its own one, or that named like its testbed; '' if none."""
    wing = config["testbed"]["_target_"].split(".")[2:3]
    return next((name for name in [config["name"], *wing] if name in configuration.names("page")), "")
