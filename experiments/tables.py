"""Tables and their figures, read back from records: python -m experiments.tables [experiment ...].

A table is an experiment's sweep: rows are the swept methods, columns the metrics that its YAML names, `seed` is folded
into the mean. A combination without a record is —. Published numbers stand below the measured ones.
"""

import argparse
import copy
import io
import re
import sys
from functools import cache, reduce
from itertools import product
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from experiments import plots, record
from experiments.store import write

ROOT = Path(__file__).parent.parent
OWN, RECORDED = Path("results/runs"), Path("results/recorded")
Run = tuple[dict[str, Any], dict[str, Any] | None]
"""A composed configuration and its record, None if it has not run."""


@cache
def jobs(experiment: str) -> list[dict[str, Any]]:
    """The composed configuration of every job of the experiment's sweep, in order."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        chosen = f"experiment={experiment}"
        swept = compose("config", [chosen], return_hydra_config=True).hydra.sweeper.params or {}
        parsed = OverridesParser.create().parse_overrides([f"{key}={value}" for key, value in swept.items()])
        return [
            _job((chosen,), job)
            for job in product(*([(sweep.key_or_group, v) for v in _values(sweep)] for sweep in parsed))
        ]


def _job(base: tuple[str, ...], choices: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """One job's configuration; jobs that differ in plain values alone share the slow part, composing."""
    groups = [f"{key}={value}" for key, value in choices if (ROOT / "conf" / key).is_dir()]
    config = copy.deepcopy(_composed((*base, *groups)))
    for key, value in choices:
        if not (ROOT / "conf" / key).is_dir():
            OmegaConf.update(config, key, OmegaConf.create(f"value: {value}").value)
    return cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))


@cache
def _composed(overrides: tuple[str, ...]) -> DictConfig:
    return compose("config", list(overrides))


def runs(experiment: str, records: Path) -> list[Run]:
    """Every job of the experiment's sweep with its record in the folder `records`, where there is one."""
    return [(config, record.finished(records / record.folder(config).name)) for config in jobs(experiment)]


def _values(override: Any) -> list[str]:
    return (
        list(override.sweep_string_iterator())
        if override.is_sweep_override()
        else [override.get_value_element_as_str()]
    )


def table(found: list[Run]) -> pd.DataFrame:
    """One row a method, one column a metric of the experiment's table; each cell is mean and interval as text."""
    columns: dict[str, str] = found[0][0]["table"]["columns"]
    rows: dict[str, dict[str, str]] = {}
    for label, jobs in _by_row(found).items():
        done = [job["metrics"] for _, job in jobs if job]
        rows[label] = {title: cell(done, key) for key, title in columns.items()}
        rows[label] |= {"Access": jobs[0][0]["method"]["access"], "Seeds": f"{len(done)} of {len(jobs)}"}
    return pd.DataFrame.from_dict(rows, orient="index")


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


def published(experiment: str, columns: dict[str, str]) -> pd.DataFrame:
    """Published rows for the same columns, — where the paper has none."""
    file = ROOT / "results" / "published" / f"{experiment}.csv"
    if not file.exists():
        return pd.DataFrame()
    figures = pd.read_csv(file, index_col="method")
    shown = {
        title: [_number(value) if pd.notna(value) else "—" for value in figures[key]] if key in figures else "—"
        for key, title in columns.items()
    }
    return pd.DataFrame(shown, index=figures.index)


def markdown(experiment: str, found: list[Run], records: Path) -> str:
    """The whole page: scale, provenance, measured rows, published rows."""
    settings = found[0][0]["table"]
    done = [job for _, job in found if job]
    measured = table(found)
    lines = [f"# {settings['title']}", "", settings["caption"].strip(), ""]
    lines += [measured.to_markdown(disable_numparse=True), ""]
    reference = published(settings["published"], settings["columns"]) if settings.get("published") else pd.DataFrame()
    if len(reference):
        lines += [f"Published ({settings['published_scale']}):", "", reference.to_markdown(disable_numparse=True), ""]
    commits = ", ".join(sorted({job["commit"][:12] + job["commit"][40:] for job in done})) or "—"
    devices = ", ".join(sorted({job["device"] for job in done})) or "—"
    seconds = sum(job["seconds"] for job in done)
    lines.append(
        f"{len(done)} of {len(found)} runs of `python run.py experiment={experiment}`; commit {commits}; {devices}; "
        f"{seconds:.0f} s of measuring. Records: `{records.as_posix()}`."
    )
    return "\n".join(lines) + "\n"


def figure(found: list[Run]) -> Any:
    """The table's AUC columns as a heat map."""
    columns = {key: title for key, title in found[0][0]["table"]["columns"].items() if key.startswith("auc/")}
    rows = {
        label: {
            title: np.mean([job["metrics"].get(key, np.nan) for _, job in jobs if job] or [np.nan])
            for key, title in columns.items()
        }
        for label, jobs in _by_row(found).items()
    }
    return plots.heat_map(pd.DataFrame.from_dict(rows, orient="index"), title=found[0][0]["table"]["title"])


def experiments() -> list[str]:
    """Names of the experiments that have a table."""
    files = sorted((ROOT / "conf" / "experiment").glob("*.yaml"))
    return [file.stem for file in files if "table" in OmegaConf.load(file)]


def fill_readme(readme: str, tables: dict[str, str]) -> str:
    """The README with each `<!-- table: NAME -->` block replaced by that table."""

    def block(match: re.Match[str]) -> str:
        name = match["name"]
        # Inside the README the page's title is a heading of a lower rank.
        text = tables[name].replace("# ", "### ", 1) if name in tables else match["body"].strip()
        return f"<!-- table: {name} -->\n{text}\n<!-- end -->"

    return re.sub(r"<!-- table: (?P<name>\S+) -->\n(?P<body>.*?)<!-- end -->", block, readme, flags=re.DOTALL)


def render(experiment: str, records: Path, results: Path) -> str:
    """Write the experiment's page and picture; returns the page."""
    found = runs(experiment, records)
    page, name = markdown(experiment, found, records), found[0][0]["table"]["file"]
    write(results / "tables" / f"{name}.md", page.encode())
    picture = io.BytesIO()
    figure(found).savefig(picture, dpi=110, format="png", metadata={"Software": None})
    write(results / "figures" / f"{name}.png", picture.getvalue())
    return page


def keep(experiment: str) -> None:
    """Copy the experiment's finished runs to the folder that is under version control, without figures."""
    for config, finished in runs(experiment, OWN):
        if finished:
            name = record.folder(config).name
            for file in ("distances.csv", "report.json"):
                write(RECORDED / name / file, (OWN / name / file).read_bytes())


def source(experiment: str) -> Path:
    """Where an experiment's records come from: this machine's own runs if there are any, else the recorded ones."""
    return OWN if any(finished for _, finished in runs(experiment, OWN)) else RECORDED


def main(arguments: list[str]) -> int:
    """Write and print the tables of the named experiments, or of all; `--record` keeps their runs first."""
    parser = argparse.ArgumentParser(prog="python -m experiments.tables", description=main.__doc__)
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


def _by_row(found: list[Run]) -> dict[str, list[Run]]:
    rows: dict[str, list[Run]] = {}
    for config, finished in found:
        rows.setdefault(_label(config), []).append((config, finished))
    return rows


def _label(config: dict[str, Any]) -> str:
    """The row's name: the experiment's pattern with each {dotted.key} looked up in the configuration."""

    def value(match: re.Match[str]) -> str:
        return str(reduce(lambda part, name: part[name], match[1].split("."), config))

    return re.sub(r"\{(.+?)\}", value, config["table"]["rows"])


def _number(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 100 else f"{value:,.0f}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
