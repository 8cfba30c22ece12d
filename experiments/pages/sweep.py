"""An experiment: the jobs of its sweep as composed configurations, each with its record where there is one."""

import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial, reduce
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.override_parser.overrides_parser import OverridesParser
from joblib import Parallel, delayed

from experiments.commands.door import admitted
from experiments.commands.interrupts import mortal
from experiments.commands.progress import bar
from experiments.storage import configuration, identity, record
from experiments.study import plan


class Run(NamedTuple):
    """One job of a sweep, whether it has run or not."""

    config: dict[str, Any]
    """Its composed configuration."""
    folder: Path
    """Where its record is, or would be."""
    record: dict[str, Any] | None
    """What its report says; None if it has not run."""

    @property
    def seed(self) -> int:
        """What the job was drawn by."""
        return self.config["seed"]


@dataclass(frozen=True)
class Experiment:
    """A named set of runs, and what its page shows of them."""

    name: str
    page: dict[str, Any]
    """Settings of its page, from `conf/page`; empty if it has none."""
    runs: list[Run]
    """Every job of the sweep, in order."""
    given: tuple[str, ...] = ()
    """Settings of the command line, which the experiment does not have by itself."""

    @property
    def command(self) -> str:
        """What makes its runs."""
        return command(self.name, self.given)

    @property
    def done(self) -> list[Run]:
        """The runs that have a record."""
        return [run for run in self.runs if run.record]

    def rows(self) -> dict[str, list[Run]]:
        """The runs by the name of their row: the page's pattern, each {dotted.key} looked up in the configuration."""
        grouped: dict[str, list[Run]] = {}
        for run in self.runs:
            label = re.sub(r"\{(.+?)\}", lambda key, run=run: str(look_up(run.config, key[1])), self.page["rows"])
            grouped.setdefault(label, []).append(run)
        return grouped

    def sides(self) -> dict[str | None, str]:
        """Values of the setting that the page goes across, with their titles; one for all runs if across none."""
        return self.page.get("across_values") or {None: "all runs"}

    def on(self, side: str | None, runs: Iterable[Run]) -> list[Run]:
        """Those of the runs that are finished and whose setting that the page goes across has this value."""
        return [run for run in runs if run.record and side in (None, self._side(run))]

    def _side(self, run: Run) -> str | None:
        key = self.page.get("across")
        return str(look_up(run.config, key)) if key else None

    def metrics(self, runs: Iterable[Run], side: str | None = None) -> list[dict[str, float]]:
        """Metrics of the finished runs among these, or of those on one side."""
        return [run.record["metrics"] for run in self.on(side, runs) if run.record]

    def seeds(self) -> list[int]:
        """The seeds of its sweep, in order."""
        return list(dict.fromkeys(run.seed for run in self.runs))

    def shares_models(self) -> bool:
        """Whether all seeds measure the same models; if not, each seed is a zoo of its own."""
        zoos = [[run.config["testbed"]["zoo"] for run in self.runs if run.seed == seed] for seed in self.seeds()]
        return all(zoo == zoos[0] for zoo in zoos)


def experiment(name: str, records: Path, given: tuple[str, ...] = ()) -> Experiment:
    """The experiment of that name, with the records that lie in the folder `records`; `given` as on the command line.

    A study is an experiment, too: its runs are those that its completed trials have come to.

    Raises:
        ValueError: if one of them is damaged, names it and the remedy.
        OSError: if one cannot be read.
    """
    configs = plan.runs(name, records, given) if name in configuration.names("study") else jobs(name, given)
    folders = [records / record.folder(config).name for config in configs]
    found = [record.finished(folder, folder.name) for folder in folders]
    return Experiment(name, page(name), [Run(*one) for one in zip(configs, folders, found, strict=True)], given)


def command(name: str, given: tuple[str, ...] = ()) -> str:
    """What makes the runs of the experiment, or of the study, of that name."""
    study = name in configuration.names("study")
    words = ["-m", "experiments.study", f"study={name}"] if study else ["run.py", f"experiment={name}"]
    return shlex.join(["python", *words, *given])


@cache
def jobs(name: str, given: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """The composed configuration of every job of the experiment's sweep, in order; what is given goes before.

    Composing all experiments takes minutes, so what comes of it is kept until a configuration or a program changes.
    """
    title = "-".join([name, *([identity.digest(given)] if given else [])])
    return configuration.kept(title, partial(_composed, name, given))


def compose(names: Sequence[str]) -> None:
    """Compose the jobs of several experiments at once, a process a core, so that `jobs` finds them kept."""
    known = configuration.names("experiment")
    stale = [name for name in names if name in known and not configuration.is_kept(name)]
    if len(stale) > 1:
        with bar("composing runs") as tell:
            calls = (delayed(_keep)(name) for name in stale)
            finished = Parallel(n_jobs=-1, backend="loky", return_as="generator_unordered", **mortal())(calls)
            for done, _ in enumerate(finished, start=1):
                tell(done, len(stale))


def _keep(name: str) -> None:
    jobs(name)


def _composed(name: str, given: tuple[str, ...]) -> list[dict[str, Any]]:
    chosen = f"experiment={name}"
    swept = dict(configuration.composed(chosen, hydra=True).hydra.sweeper.params or {})
    anew = dict(one.split("=", 1) for one in given if one.partition("=")[0] in swept)
    parsed = OverridesParser.create().parse_overrides([f"{key}={value}" for key, value in (swept | anew).items()])
    choices = product(*([(sweep.key_or_group, value) for value in _values(sweep)] for sweep in parsed))
    base = (chosen, *(one for one in given if one.partition("=")[0] not in anew))
    return [admitted(configuration.varied(base, job)) for job in choices]


@cache
def page(name: str) -> dict[str, Any]:
    """Settings of the experiment's page, empty if it has none; an inherited column with null for a title is gone."""
    found = configuration.part("page", name) if name in configuration.names("page") else {}
    shown = {key: title for key, title in (found.get("columns") or {}).items() if title is not None}
    return found | ({"columns": shown} if shown else {})


def look_up(config: dict[str, Any], key: str) -> Any:
    """The value at a dotted key."""
    return reduce(lambda part, name: part[name], key.split("."), config)


def _values(override: Any) -> list[str]:
    return (
        list(override.sweep_string_iterator())
        if override.is_sweep_override()
        else [override.get_value_element_as_str()]
    )
