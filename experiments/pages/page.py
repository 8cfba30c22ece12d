"""The page of an experiment, read back from its records: scale, measured and published rows, sections, provenance."""

import re
from pathlib import Path
from typing import Any

import jinja2
from hydra.utils import get_method

from experiments.pages import plots
from experiments.pages.section import NOTHING, grid, without_html
from experiments.pages.sweep import Experiment, experiment
from experiments.pages.tables import fewer, published, table
from experiments.storage.files import ROOT, write

TEMPLATE = Path(__file__).with_name("page.md.jinja")


def markdown(found: Experiment, records: Path, *, note: str = "") -> str:
    """The whole page; `records` is the folder that the runs were found in, `note` what to say of them first."""
    reference = published(found)
    template = jinja2.Template(TEMPLATE.read_text(), undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    text = template.render(
        page=found.page,
        note=note,
        command=found.command,
        seeds=of_seeds(found),
        measured=grid(table(found)),
        published=grid(reference) if len(reference) else "",
        sections=sections(found),
        records=(records.relative_to(ROOT) if records.is_relative_to(ROOT) else records).as_posix(),
        **origin(found),
    )
    return without_html(text)


def sections(found: Experiment) -> list[str]:
    """The sections that the page declares, as Markdown; none if nothing has run."""
    made = [get_method(name)(found) for name in (found.page.get("sections") or []) if found.done]
    return [section for section in made if section]


def origin(found: Experiment) -> dict[str, Any]:
    """Where the numbers come from: runs that are done and in all, commits, devices, seconds of measuring."""
    done = [run.record for run in found.done if run.record]
    return {
        "done": len(done),
        "runs": len(found.runs),
        "commits": ", ".join(sorted({one["commit"][:12] + one["commit"][40:] for one in done})) or NOTHING,
        "devices": ", ".join(sorted({one["device"] for one in done})) or NOTHING,
        "seconds": sum(one["seconds"] for one in done),
    }


def of_seeds(found: Experiment) -> str:
    """What several seeds are, and what is shown of them; empty for a single one."""
    seeds = len(found.seeds())
    if seeds == 1:
        return ""
    if found.shares_models():
        return (
            f"The {seeds} seeds draw other reference points for the same models: numbers and intervals are means over "
            "them, and drawing again does not narrow an interval."
        )
    few = ", ".join(f"{title} ({known})" for title, known in fewer(found).items())
    return (
        f"The {seeds} seeds are zoos, each with models of its own: numbers are means over them, and intervals are "
        "means of those within one zoo, which do not tell how much zoos differ."
        + (f" Not all of them have every column; fewer have {few}." if few else "")
    )


def runs_shown(text: str) -> int:
    """How many runs a page says that it shows; 0 if it says nothing.

    >>> runs_shown("3 of 30 runs of `python run.py experiment=ip_protection`; commit ...")
    3
    """
    said = re.findall(r"^(\d+) of \d+ runs of `python ", text, flags=re.MULTILINE)
    return int(said[-1]) if said else 0


def render(name: str, records: Path, results: Path, *, note: str = "", given: tuple[str, ...] = ()) -> str:
    """Write the experiment's page and pictures; returns the page. What has not run is in no picture."""
    found = experiment(name, records, given)
    text = markdown(found, records, note=note)
    write(results / "tables" / f"{found.page['file']}.md", text.encode())
    for suffix, function in ((found.page.get("pictures") or {}) if found.done else {}).items():
        figure = get_method(function)(found) if function else None  # a page may leave out one of its parent's
        if figure is not None:
            write(results / "figures" / f"{found.page['file']}{suffix and '_' + suffix}.png", plots.png(figure))
    return text
