"""How far an experiment is: which of its runs are done, refused, running, failed or missing, and what is to go."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

from experiments.pages import sweep
from experiments.storage import configuration, failure, record
from experiments.storage.files import ROOT, held
from experiments.study import plan

RECORDED = ROOT / "results" / "recorded"
SCALES = ("toy", "mini", "mid", "paper")
"""From seconds that show no more than that all works, over minutes or hours and some files, to the papers' models."""
STATES = ("done", "recorded", "refused", "running", "failed", "missing")


class Place(NamedTuple):
    """One run of a sweep, where it stands."""

    label: str
    """Its method's name in tables."""
    state: str
    """One of STATES: done in the folder of own runs, or recorded elsewhere, and so on."""
    seconds: float | None
    """What it took, if it is done or recorded."""
    why: str = ""
    """The stated reason, if it is refused."""


@dataclass(frozen=True)
class Standing:
    """How far an experiment is."""

    name: str
    runs: list[Place]
    needs: dict[str, str]
    """Setting and folder that is not there, `key=folder` -> what belongs into it."""
    paces: Mapping[str, float]
    """Method -> mean seconds of its runs, by own records where there are any, by recorded ones where not."""

    @property
    def counts(self) -> Counter[str]:
        """How many runs are in which of STATES."""
        return Counter(run.state for run in self.runs)

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do."""
        return not self.left

    @property
    def left(self) -> list[Place]:
        """The runs that are neither there nor refused."""
        return [run for run in self.runs if run.seconds is None and run.state != "refused"]

    @property
    def to_measure(self) -> list[Place]:
        """What the experiment's command measures: what is recorded elsewhere, too, since it sees own runs alone."""
        return [run for run in self.runs if run.state not in ("done", "refused")]

    @property
    def seconds(self) -> float:
        """What the runs that are there have taken."""
        return sum(run.seconds or 0 for run in self.runs)

    def to_go(self) -> tuple[float, int]:
        """Seconds that the command will take by these records, and how many runs nothing is known about."""
        rest = [self.paces.get(run.label) for run in (self.to_measure if self.left else [])]
        return sum(pace for pace in rest if pace is not None), rest.count(None)


def standing(
    name: str,
    given: Mapping[str, str] | None = None,
    *,
    recorded: Path | None = RECORDED,
) -> Standing:
    """How far the experiment is.

    Args:
        name: of an experiment with a page.
        given: settings of the command line by dotted keys, such as folders that lie elsewhere.
        recorded: folder of runs that are recorded already, which count, too; None counts own ones alone, and lets
            recorded ones say no more than how long the others will take.
    """
    given = given or {}
    own = Path(given.get("results", "results")) / "runs"
    if name in configuration.names("study"):
        return of_study(name, own, recorded or RECORDED, recorded_count=bool(recorded))
    jobs = [(record.folder(config).name, config["method"]["label"]) for config in sweep.jobs(name)]
    needs = missing(name, shared(name), given)
    return judged(name, jobs, own, recorded or RECORDED, needs, recorded_count=bool(recorded))


def judged(
    name: str,
    jobs: list[tuple[str, str]],
    records: Path,
    recorded: Path,
    needs: dict[str, str],
    *,
    recorded_count: bool = True,
) -> Standing:
    """The same of jobs (folder, method's label), by what lies in both folders; a damaged record counts as failed."""
    own = {folder: _seconds(records / folder) for folder, _ in jobs}
    others = {folder: _seconds(recorded / folder) for folder, _ in jobs}
    reasons = failure.refusals(recorded) if recorded_count else {}
    places = []
    for folder, label in jobs:
        if own[folder] is not None:
            places.append(Place(label, "done", own[folder]))
        elif held(records / folder):
            places.append(Place(label, "running", None))
        elif recorded_count and others[folder] is not None:
            places.append(Place(label, "recorded", others[folder]))
        elif why := failure.refused(records / folder) or reasons.get(folder):
            places.append(Place(label, "refused", None, why))
        else:
            odd = failure.file(records / folder).exists() or (records / folder / "report.json").exists()
            places.append(Place(label, "failed" if odd else "missing", None))
    paces = _paces(jobs, others) | _paces(jobs, own)
    return Standing(name, places, needs, paces)


def of_study(name: str, records: Path, recorded: Path, *, recorded_count: bool = True) -> Standing:
    """The same of a study, whose trials take the place of runs; one that was refused is done with."""
    planned = plan.plan(name)["trials"]
    own, others = (_trials(plan.file(name, folder))[:planned] for folder in (records, recorded))
    pace = next(
        (known for trials in (own, others) if (known := [one["seconds"] for one in trials if one["seconds"]])), []
    )
    state, trials = ("done", own) if len(own) >= len(others) or not recorded_count else ("recorded", others)
    shown = [Place("trial", state, trial["seconds"] or 0.0) for trial in trials]
    left = "failed" if plan.file(name, records).exists() and not own else "missing"
    rest = [Place("trial", left, None)] * (planned - len(shown))
    return Standing(name, shown + rest, {}, {"trial": mean(pace)} if pace else {})


def missing(name: str, config: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, str]:
    """Folders that the experiment's page names as needed and that are not there: `key=folder` -> what belongs there."""
    lacking = {}
    for key, content in (sweep.page(name).get("needs") or {}).items():
        folder = given.get(key) or sweep.look_up(dict(config), key)
        fetched = given.get(f"{key.rpartition('.')[0]}.download", "false").lower() == "true"
        if not (fetched or Path(folder).is_dir()):
            lacking[f"{key}={folder}"] = content
    return lacking


def of_scale(scale: str) -> list[str]:
    """The experiments whose page has that scale.

    Raises:
        ValueError: if there is no such scale.
    """
    if scale not in SCALES:
        raise ValueError(f"there is no scale {scale!r}; the scales are {', '.join(SCALES)}")
    return [name for name in configuration.names("page") if sweep.page(name).get("scale") == scale]


def shared(name: str) -> dict[str, Any]:
    """The configuration of the first job; of a study, which has no jobs before it is done, what all of them share."""
    if name in configuration.names("study"):
        return configuration.resolved(*plan.plan(name)["base"])
    return sweep.jobs(name)[0]


def _trials(file: Path) -> list[dict[str, Any]]:
    """A study's trials; none where they are damaged."""
    try:
        return plan.trials(file)
    except (ValueError, OSError):
        return []


def _seconds(folder: Path) -> float | None:
    """What a finished run took; None if there is none, or a damaged one."""
    try:
        found = record.finished(folder, folder.name)
    except (ValueError, OSError):
        return None
    return found["seconds"] if found else None


def _paces(jobs: list[tuple[str, str]], seconds: Mapping[str, float | None]) -> dict[str, float]:
    known: dict[str, list[float]] = {}
    for folder, label in jobs:
        took = seconds[folder]
        if took is not None:
            known.setdefault(label, []).append(took)
    return {label: mean(took) for label, took in known.items()}
