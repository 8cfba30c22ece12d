"""Tables and their figures, read back from records: python -m experiments.pages [experiment ...] [setting=value ...].

Pages of own runs go to `results/pages`. Those under version control, and the tables in README and
docs, change by `--record` alone.
"""

import argparse
import sys
from pathlib import Path

from experiments.commands.refusal import MISTAKES, reason
from experiments.pages import sweep
from experiments.pages.documents.blocks import documents, fill
from experiments.pages.page import markdown, render, runs_shown
from experiments.pages.sweep import Experiment
from experiments.storage import configuration, failure, record
from experiments.storage.files import ROOT, read, write
from experiments.study import plan

OWN = Path("results")
"""Where own runs and their pages lie, beneath the folder that the command is given in."""
RESULTS = ROOT / "results"
RECORDED = RESULTS / "recorded"


def shown(name: str, results: Path, given: tuple[str, ...] = ()) -> str:
    """The page of own runs, written to their folder, or else that of the recorded ones; empty if nothing has run."""
    own, recorded = sweep.experiment(name, results / "runs", given), sweep.experiment(name, RECORDED, given)
    if own.done:
        note = whose(own, len(recorded.done))
        return render(name, results / "runs", results / "pages", note=note, given=given)
    return markdown(recorded, RECORDED) if recorded.done else ""


def whose(own: Experiment, recorded: int) -> str:
    """Says that a page shows own runs alone, how many are missing, and where recorded ones are shown."""
    done, runs = len(own.done), len(own.runs)
    text = f"Own runs alone, {done} of {runs}; " + (
        "none is missing." if done == runs else f"{runs - done} are missing."
    )
    if own.given:
        text += " Their settings are those of the command at the end, not those of the text below."
    return text + (f" The {recorded} recorded ones: `results/tables/{own.page['file']}.md`." if recorded else "")


def keep(name: str, *, fewer: bool) -> str:
    """Copy finished runs to the folder under version control and write their page there; empty if nothing has run.

    Raises:
        ValueError: if the page would show fewer runs than it does, or fewer new ones than it shows old ones, and that
            is not wanted.
    """
    own, recorded = sweep.experiment(name, RESULTS / "runs"), sweep.experiment(name, RECORDED)
    page = RESULTS / "tables" / f"{own.page['file']}.md"
    before = runs_shown(read(page).decode()) if page.exists() else 0
    if not fewer:
        refuse_loss(own, recorded, before)
    for run in own.done:
        report = record.portable(run.record or {})
        for file in report["files"]:
            write(RECORDED / run.folder.name / file, read(run.folder / file))
        # The report last: without it, the others are no run.
        write(RECORDED / run.folder.name / "report.json", record.sealed(report))
    if own.done:
        keep_beside(name, own)
    return render(name, RECORDED, RESULTS) if own.done or recorded.done else ""


def keep_beside(name: str, own: Experiment) -> None:
    """Copy what is no run: why some runs were refused, and a study's trials."""
    refused = {run.folder.name: why for run in own.runs if (why := failure.refused(run.folder))}
    failure.keep_refusals(RECORDED, refused)
    if name in configuration.names("study"):
        file = plan.file(name, RESULTS / "runs")
        write(RECORDED / file.name, read(file))


def refuse_loss(own: Experiment, recorded: Experiment, before: int) -> None:
    """Refuse to record what would leave fewer runs on a page, or some of two measurements beside each other."""
    after = {run.folder.name for run in [*own.done, *recorded.done]}
    old = {run.folder.name: run.record for run in recorded.done}
    replaced = [
        run for run in own.done if run.folder.name in old and record.portable(run.record or {}) != old[run.folder.name]
    ]
    done, known = (len(own.done), max(before, len(old))) if replaced else (len(after), before)
    if done < known:
        raise ValueError(
            f"{own.name}: {done} to record, but {known} runs are recorded; finish the others by "
            f"{own.command}, or add --fewer"
        )


def main(arguments: list[str]) -> int:
    """Print the pages of the named experiments, or of all, and write those of own runs; 1 if a record is damaged."""
    known = configuration.names("page")
    parser = argparse.ArgumentParser(prog="python -m experiments.pages", description=main.__doc__)
    parser.add_argument("experiments", nargs="*", metavar="experiment", help=f"of {', '.join(known)}")
    parser.add_argument("--record", action="store_true", help=f"copy the runs to {RECORDED}, write pages and documents")
    parser.add_argument("--fewer", action="store_true", help="record even if that leaves fewer runs on a page")
    parser.add_argument("--results", type=Path, default=OWN, help="folder of own results (%(default)s)")
    words = [f"--{word}" if word.startswith("results=") else word for word in arguments]  # as run.py is given it
    given = tuple(word for word in words if "=" in word and not word.startswith("-"))
    chosen = parser.parse_args([word for word in words if word not in given])
    if given and (len(chosen.experiments) != 1 or chosen.record):
        parser.error("settings are those of one experiment's own runs: name it, and leave out --record")
    unknown = sorted(set(chosen.experiments) - set(known))
    if unknown:
        parser.error(f"no table for {', '.join(unknown)}; there are {', '.join(known)}")
    if chosen.fewer and not chosen.record:
        parser.error("--fewer says how to record; add --record")
    if chosen.record and chosen.results != OWN:
        parser.error(f"only runs in {RESULTS} are recorded; leave out --results")
    failed = 0
    for name in chosen.experiments or known:
        try:
            text = keep(name, fewer=chosen.fewer) if chosen.record else shown(name, chosen.results, given)
            print(text or f"{name}: nothing has run yet; {sweep.command(name, given)}")
        except MISTAKES as error:
            failed = 1
            print(f"error: {reason(error)}", file=sys.stderr)
    if chosen.record:
        for document in documents(ROOT):
            try:
                fill(document, RESULTS)
            except MISTAKES as error:
                failed = 1
                print(f"error: {document.name}: {reason(error)}", file=sys.stderr)
    place = RESULTS if chosen.record else chosen.results / "pages"
    print(f"pages: {place}/tables/*.md, {place}/figures/*.png; figures of single runs: {chosen.results}/runs/*/*.png")
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
