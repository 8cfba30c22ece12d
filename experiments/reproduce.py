"""Every run behind every table of a scale: python -m experiments.reproduce scale=mini|mid|paper [key=value ...].

`python run.py experiment=reproduce scale=...` is the same; scale=toy tries it all in a minute.

It says first what is there, what is missing, how long that took when it was recorded, and which folders it needs; then
it trains, measures and writes pages, one experiment after another. dry_run=true says, and does nothing. The same
command goes on after an interrupt or a crash; given twice at once, each takes experiments that the other is not at.
recorded=false measures what is recorded, too.
"""

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from experiments.commands.interrupts import interruptible
from experiments.commands.progress import counted
from experiments.commands.refusal import MISTAKES, nearest, reason
from experiments.pages import standing as standings
from experiments.pages import sweep
from experiments.pages.page import runs_shown
from experiments.pages.standing import SCALES, Standing, of_scale, shared, standing
from experiments.pages.sweep import look_up
from experiments.status import show, spent
from experiments.storage import configuration
from experiments.storage.files import ROOT, held, lock
from experiments.storage.identity import UNNAMED

OWN = ("scale", "dry_run", "recorded")
"""Settings of this command, which its programs are not given."""
FREE = ("device", "chunk", "memory_gb", "workers", "on_error", "results", "cache", "wandb", "hydra")
"""Top-level keys that name no run."""


@interruptible
def main(arguments: list[str]) -> int:
    """Say what is to be done and, unless it is a dry run, do it; 1 if some of it was refused or failed."""
    try:
        given = settings(arguments)
        own_alone = given["recorded"] == "false"
        names = of_scale(given["scale"])
        sweep.compose(names)
        passed = {name: for_experiment(name, given) for name in names}
        refuse_unused(given, passed)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    try:
        recorded = None if own_alone else standings.RECORDED
        found = [standing(name, given, recorded=recorded) for name in counted(names, "reading records")]
    except MISTAKES as error:
        print(f"error: {reason(error)}", file=sys.stderr)
        return 1
    plan(found)
    if given["dry_run"] == "true":
        return 0
    failed = [one.name for one in found if not one.complete and one.needs]
    for name in failed:
        print(f"{name}: not started, because it needs what is said above", file=sys.stderr)

    complete = {one.name for one in found if one.complete}

    def do(name: str) -> None:
        if not made(name, passed[name], given.get("results", "results"), page_alone=name in complete):
            failed.append(name)

    try:
        share([one.name for one in found if unfinished(one, given) and not one.needs], folder(given), do)
    except MISTAKES as error:
        print(f"error: {reason(error)}", file=sys.stderr)
        return 1
    print(f"reproduced: {len(names) - len(failed)} of {len(names)} experiments of scale {given['scale']}")
    return 1 if failed else 0


def settings(arguments: Sequence[str]) -> dict[str, str]:
    """The command line as settings, with this command's own ones filled in.

    Raises:
        ValueError: if a word is no setting, a scale is missing or unknown, or a setting would name other runs.
    """
    for word in arguments:
        if "=" not in word:
            raise ValueError(f"{word!r} is no setting; key=value is needed, such as scale=mini")
    given = {"dry_run": "false", "recorded": "true"} | dict(word.split("=", 1) for word in arguments)
    if given.get("scale") not in SCALES:
        raise ValueError(f"there is no scale {given.get('scale', '')!r}; scale= one of {', '.join(SCALES)}")
    for key in ("dry_run", "recorded"):
        if given[key] not in ("true", "false"):
            raise ValueError(f"{key} must be true or false, not {given[key]!r}")
    for key in given:
        top, last = key.replace("/", ".").split(".")[0], key.split(".")[-1]
        rehearsal = last in ("dry_run", "quick")
        if key not in OWN and top not in FREE and (last not in UNNAMED or rehearsal):
            raise ValueError(
                f"{key} would make other runs than those of the tables; python run.py takes it. Here may be set "
                f"{', '.join(FREE)} and where folders lie"
            )
    return given


def for_experiment(name: str, given: Mapping[str, str]) -> list[str]:
    """Those settings that the experiment has, as words for `run.py`: top-level ones, and folders that it asks for."""
    config = shared(name)
    return [f"{key}={value}" for key, value in given.items() if key not in OWN and _has(config, key)]


def refuse_unused(given: Mapping[str, str], passed: Mapping[str, Sequence[str]]) -> None:
    """Refuse a setting that no experiment of the scale has.

    Raises:
        ValueError: names the setting and what the others are.
    """
    used = {word.split("=", 1)[0] for words in passed.values() for word in words}
    for key in given:
        if key not in OWN and key not in used:
            raise ValueError(f"no experiment of scale {given['scale']} has {key}; {nearest(key, used, 'used are')}")


def _has(config: Mapping[str, object], key: str) -> bool:
    if key.split(".")[0].split("/")[0] in FREE:
        return True
    try:
        look_up(dict(config), key)
    except (KeyError, TypeError):
        return False
    return True


def plan(found: Sequence[Standing]) -> None:
    """Print what is there, what is missing, what is needed, and the hours that are to go."""
    show(found)
    rest = [one for one in found if not one.complete]
    if not rest:
        print("all is there: nothing to measure")
        return
    seconds, unknown = (sum(part) for part in zip(*(one.to_go() for one in rest), strict=True))
    runs = sum(len(one.to_measure) for one in rest)
    print(
        f"to go: {runs} runs of {len(rest)} experiments, {spent(seconds)} at the pace of the records"
        + (f" without {unknown} runs that nothing is known of" if unknown else "")
        + "; training of models that are not in the cache comes on top"
    )


def unfinished(one: Standing, given: Mapping[str, str]) -> bool:
    """Whether runs are missing, or own ones are there that their page does not show."""
    if not one.complete or not one.counts["done"]:
        return not one.complete
    file = Path(given.get("results", "results")) / "pages" / "tables" / f"{sweep.page(one.name)['file']}.md"
    return not file.exists() or runs_shown(file.read_text()) < len(sweep.experiment(one.name, folder(given)).done)


def folder(given: Mapping[str, str]) -> Path:
    """Where own runs lie."""
    return Path(given.get("results", "results")) / "runs"


def share(names: Sequence[str], place: Path, do: Callable[[str], None]) -> None:
    """Do every experiment, holding its lock; first those that no other process is at, then wait for the others.

    A killed process lets go of its lock, and whoever comes next goes on with that experiment.
    """
    left = list(names)
    while left:
        name = next((name for name in left if not held(place / name)), left[0])
        with lock(place / name):
            do(name)
        left.remove(name)


def made(name: str, words: Sequence[str], results: str, *, page_alone: bool = False) -> bool:
    """Train, measure and write the page of one experiment, or its page alone. Returns whether all went well.

    What is there is found. Where training or some run fails, the page shows the others.
    """
    measuring = (
        [["-m", "experiments.study", f"study={name}", *words]]
        if name in configuration.names("study")
        else [
            ["-m", "experiments.prepare", f"experiment={name}", "method=modelgif", *words],
            [str(ROOT / "run.py"), f"experiment={name}", *words],
        ]
    )
    page = ["-m", "experiments.pages", name, "--results", results]
    return all([all(_well(command) for command in measuring if not page_alone), _well(page)])


def _well(command: Sequence[str]) -> bool:
    return subprocess.run([sys.executable, *command]).returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
