"""Tables and their figures, read back from records: python -m experiments.pages [experiment ...].

A table is an experiment's sweep: rows are the swept methods, columns the metrics that its YAML names, `seed` is folded
into the mean. A combination without a record is —. Published numbers stand below the measured ones.
"""

import argparse
import io
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hydra.utils import get_method

from experiments.pages import sweep
from experiments.pages.sweep import ROOT, Run, runs
from experiments.storage import record
from experiments.storage.files import write

OWN, RECORDED = Path("results/runs"), Path("results/recorded")


def table(found: list[Run]) -> pd.DataFrame:
    """One row a method, one column a metric of the experiment's table; each cell is mean and interval as text.

    A column `metric@value` takes the runs whose setting `across` has that value. Rows of `controls` show what their
    prefix holds in the records of the first row.
    """
    settings = found[0][0]["table"]
    grouped = sweep.rows(found)
    shown = {label: _row(jobs, _columns(settings)) for label, jobs in grouped.items()}
    for label, jobs in grouped.items():
        done = len(sweep.metrics(jobs))
        shown[label] |= {"Access": jobs[0][0]["method"]["access"], "Runs": f"{done} of {len(jobs)}"}
    first = next(iter(grouped.values()))
    for label, prefix in (settings.get("controls") or {}).items():
        shown[label] = _row(first, _columns(settings), f"{prefix}/") | {"Access": "the truth", "Runs": ""}
    return pd.DataFrame.from_dict(shown, orient="index")


def _columns(settings: dict[str, Any]) -> dict[str, str]:
    """Titles by metric; those of one side go unless the table goes across a setting."""
    return {key: title for key, title in settings["columns"].items() if settings.get("across") or "@" not in key}


def _row(jobs: list[Run], columns: Mapping[str, str], prefix: str = "") -> dict[str, str]:
    cells = {}
    for key, title in columns.items():
        metric, _, value = key.partition("@")
        cells[title] = cell(sweep.metrics(jobs, value or None), prefix + metric)
    return cells


def cell(records: list[dict[str, float]], key: str) -> str:
    """Mean over records, with the mean interval where the metric has one.

    Seeds share the models, so drawing reference points again does not narrow the interval.
    """
    values = [metrics[key] for metrics in records if key in metrics]
    if not values:
        return "—"
    text = _number(float(np.mean(values)))
    if f"{key}/low" in records[0]:
        ends = [float(np.mean([metrics[f"{key}/{end}"] for metrics in records])) for end in ("low", "high")]
        text += f" [{ends[0]:.2f}, {ends[1]:.2f}]"
    return text


def published(experiment: str, columns: dict[str, str], side: str | None) -> pd.DataFrame:
    """Published rows for the same columns, — where the paper has none; of several sides they belong to this one."""
    file = ROOT / "results" / "published" / f"{experiment}.csv"
    if not file.exists():
        return pd.DataFrame()
    figures = pd.read_csv(file, index_col="method")
    shown = {}
    for key, title in columns.items():
        metric, _, value = key.partition("@")
        known = metric in figures and value in ("", side)
        shown[title] = [_number(x) if pd.notna(x) else "—" for x in figures[metric]] if known else "—"
    return pd.DataFrame(shown, index=figures.index)


def markdown(experiment: str, found: list[Run], records: Path) -> str:
    """The whole page: scale, provenance, measured rows, published rows, further sections."""
    settings = found[0][0]["table"]
    done = [job for _, job in found if job]
    measured = table(found)
    lines = [f"# {settings['title']}", "", settings["caption"].strip(), ""]
    lines += [measured.to_markdown(disable_numparse=True), ""]
    side = next(iter(sweep.sides(found)))
    known = settings.get("published")
    reference = published(known, _columns(settings), side) if known else pd.DataFrame()
    if len(reference):
        lines += [f"Published ({settings['published_scale']}):", "", reference.to_markdown(disable_numparse=True), ""]
    for section in (settings.get("sections") or []) if done else []:
        lines += [get_method(section)(found, records), ""]
    commits = ", ".join(sorted({job["commit"][:12] + job["commit"][40:] for job in done})) or "—"
    devices = ", ".join(sorted({job["device"] for job in done})) or "—"
    seconds = sum(job["seconds"] for job in done)
    lines.append(
        f"{len(done)} of {len(found)} runs of `python run.py experiment={experiment}`; commit {commits}; {devices}; "
        f"{seconds:.0f} s of measuring. Records: `{records.as_posix()}`."
    )
    return "\n".join(lines) + "\n"


def experiments() -> list[str]:
    """Names of the experiments that have a table."""
    return sorted(file.stem for file in (ROOT / "conf" / "page").glob("*.yaml"))


def fill_readme(readme: str, tables: dict[str, str]) -> str:
    """The README with each `<!-- table: NAME -->` block replaced by that table."""

    def block(match: re.Match[str]) -> str:
        name = match["name"]
        # Inside the README the page's title is a heading of a lower rank.
        text = tables[name].replace("# ", "### ", 1) if name in tables else match["body"].strip()
        return f"<!-- table: {name} -->\n{text}\n<!-- end -->"

    return re.sub(r"<!-- table: (?P<name>\S+) -->\n(?P<body>.*?)<!-- end -->", block, readme, flags=re.DOTALL)


def render(experiment: str, records: Path, results: Path) -> str:
    """Write the experiment's page and pictures; returns the page."""
    found = runs(experiment, records)
    settings = found[0][0]["table"]
    page = markdown(experiment, found, records)
    write(results / "tables" / f"{settings['file']}.md", page.encode())
    pictures = (settings.get("pictures") or {}) if any(finished for _, finished in found) else {}
    for name, draw in pictures.items():
        content = io.BytesIO()
        get_method(draw)(found, records).savefig(content, dpi=110, format="png", metadata={"Software": None})
        write(results / "figures" / f"{settings['file']}{name and '_' + name}.png", content.getvalue())
    return page


def keep(experiment: str) -> None:
    """Copy the experiment's finished runs to the folder that is under version control, without figures."""
    for config, finished in runs(experiment, OWN):
        if finished:
            name = record.folder(config).name
            for file in [*(OWN / name).glob("*.csv"), OWN / name / "report.json"]:
                write(RECORDED / name / file.name, file.read_bytes())


def source(experiment: str) -> Path:
    """Where an experiment's records come from: this machine's own runs if there are any, else the recorded ones."""
    return OWN if any(finished for _, finished in runs(experiment, OWN)) else RECORDED


def main(arguments: list[str]) -> int:
    """Write and print the tables of the named experiments, or of all; `--record` keeps their runs first."""
    parser = argparse.ArgumentParser(prog="python -m experiments.pages", description=main.__doc__)
    parser.add_argument("experiments", nargs="*", metavar="experiment", help=f"of {', '.join(experiments())}")
    parser.add_argument("--record", action="store_true", help=f"copy the runs to {RECORDED} and fill the README")
    chosen = parser.parse_args(arguments)
    unknown = sorted(set(chosen.experiments) - set(experiments()))
    if unknown:
        parser.error(f"no table for {', '.join(unknown)}; there are {', '.join(experiments())}")
    for experiment in chosen.experiments or experiments():
        if chosen.record:
            keep(experiment)
        print(render(experiment, RECORDED if chosen.record else source(experiment), Path("results")))
    print("written: results/tables/*.md, results/figures/*.png; figures of single runs: results/runs/*/*.png")
    if chosen.record:
        readme = ROOT / "README.md"
        pages = {file.stem: file.read_text().strip() for file in Path("results/tables").glob("*.md")}
        write(readme, fill_readme(readme.read_text(), pages).encode())
    return 0


def _number(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 100 else f"{value:,.0f}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
