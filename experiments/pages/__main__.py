"""Tables and their figures, read back from records: python -m experiments.pages [experiment ...]."""

import argparse
import re
import sys
from pathlib import Path

from experiments.pages import sweep
from experiments.pages.page import render
from experiments.storage import configuration
from experiments.storage.files import ROOT, write

OWN, RECORDED = Path("results/runs"), Path("results/recorded")


def fill_readme(readme: str, tables: dict[str, str]) -> str:
    """The README with each `<!-- table: NAME -->` block replaced by that table."""

    def block(match: re.Match[str]) -> str:
        name = match["name"]
        # Inside the README the page's title is a heading of a lower rank.
        text = tables[name].replace("# ", "### ", 1) if name in tables else match["body"].strip()
        return f"<!-- table: {name} -->\n{text}\n<!-- end -->"

    return re.sub(r"<!-- table: (?P<name>\S+) -->\n(?P<body>.*?)<!-- end -->", block, readme, flags=re.DOTALL)


def keep(name: str) -> None:
    """Copy the experiment's finished runs to the folder that is under version control, without figures."""
    for run in sweep.experiment(name, OWN).done:
        for file in [*run.folder.glob("*.csv"), run.folder / "report.json"]:
            write(RECORDED / run.folder.name / file.name, file.read_bytes())


def source(name: str) -> Path:
    """Where an experiment's records come from: this machine's own runs if there are any, else the recorded ones."""
    return OWN if sweep.experiment(name, OWN).done else RECORDED


def main(arguments: list[str]) -> int:
    """Write and print the tables of the named experiments, or of all; `--record` keeps their runs first."""
    known = configuration.names("page")
    parser = argparse.ArgumentParser(prog="python -m experiments.pages", description=main.__doc__)
    parser.add_argument("experiments", nargs="*", metavar="experiment", help=f"of {', '.join(known)}")
    parser.add_argument("--record", action="store_true", help=f"copy the runs to {RECORDED} and fill the README")
    chosen = parser.parse_args(arguments)
    unknown = sorted(set(chosen.experiments) - set(known))
    if unknown:
        parser.error(f"no table for {', '.join(unknown)}; there are {', '.join(known)}")
    for name in chosen.experiments or known:
        if chosen.record:
            keep(name)
        print(render(name, RECORDED if chosen.record else source(name), Path("results")))
    print("written: results/tables/*.md, results/figures/*.png; figures of single runs: results/runs/*/*.png")
    if chosen.record:
        readme = ROOT / "README.md"
        pages = {file.stem: file.read_text().strip() for file in Path("results/tables").glob("*.md")}
        write(readme, fill_readme(readme.read_text(), pages).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
