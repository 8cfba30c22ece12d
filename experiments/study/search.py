"""A search by Optuna, asked and told: every trial is made of ordinary runs, so what was measured is not measured again.

The trials lie in an SQLite file of the study's own. Several processes may share it. Each holds a lock while it is at a
trial; one that was killed lets go, and its trial is marked as cut off and counts nowhere. The sampler is seeded anew
for every trial, by how many there are, so that a search that was cut off goes on as if it had not been.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from statistics import mean
from typing import Any, cast

import optuna
from hydra.utils import instantiate
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, Trial, TrialState

from experiments.commands.door import admitted
from experiments.commands.refusal import MISTAKES, mendable, reason
from experiments.storage import record
from experiments.storage.files import explained, held, lock
from experiments.study.plan import Plan, Words, composed, keep

Run = Callable[[Any], Any]
"""Does one composed run, unless its record is there: `run.py`."""
CUT_OFF = "cut off"
"""Marks trials of processes that were killed."""
PATIENCE = 60
"""Seconds that a process waits for others which are writing to the study's file."""


def search(
    title: str, chosen: Plan, given: Words, results: Path, run: Run, tell: Callable[[str], None] = print
) -> None:
    """Ask and tell until as many trials as planned are done or refused, or other processes are at the last ones.

    Args:
        title: names the study's files.
        chosen: what to search.
        given: settings of the command line, for all runs.
        results: folder of results; runs lie in `runs`, the study's file in `studies`.
        run: does a run.
        tell: is told how every trial went.

    Raises:
        OSError: if files cannot be read or written; what is refused for another reason is a failed trial.
    """
    database, written = results / "studies" / f"{title}.db", results / "runs" / f"{title}.json"
    space: dict[str, BaseDistribution] = {
        key: CategoricalDistribution(values) for key, values in chosen["space"].items()
    }
    with lock(database):
        study = opened(title, chosen, database)
    while True:
        with ExitStack() as own:
            with lock(database):
                give_up_killed(study, database)
                there = counted(study)
                if len(there) >= chosen["trials"]:
                    keep(written, described(study))
                    return
                study.sampler = seeded(chosen, len(there))
                trial = study.ask(space)
                own.enter_context(lock(mark(database, trial.number)))
            state, values = tried(trial, chosen, given, run)
            with lock(database):
                study.tell(trial, values, state)
                keep(written, described(study))
            tell(said(title, chosen, study.get_trials(deepcopy=False)[trial.number]))


def opened(title: str, chosen: Plan, database: Path) -> optuna.Study:
    """The study in that file, made if it is not there."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with explained(f"cannot write {database}"):
        database.parent.mkdir(parents=True, exist_ok=True)
    storage = optuna.storages.RDBStorage(
        f"sqlite:///{database.absolute()}", engine_kwargs={"connect_args": {"timeout": PATIENCE}}
    )
    return optuna.create_study(
        study_name=title,
        storage=storage,
        directions=list(chosen["objectives"].values()),
        pruner=instantiate(chosen["pruner"]) if "pruner" in chosen else optuna.pruners.NopPruner(),
        load_if_exists=True,
    )


def seeded(chosen: Plan, there: int) -> optuna.samplers.BaseSampler:
    """The sampler for the trial after so many."""
    settings = cast(dict[str, Any], chosen["sampler"])
    return instantiate({**settings, "seed": settings.get("seed", 0) + there})


def tried(trial: Trial, chosen: Plan, given: Words, run: Run) -> tuple[TrialState, list[float] | None]:
    """Measure a trial rung by rung; its state, and its values if it got to the end."""
    values: list[float] = []
    rungs = [{key: value} for key, steps in chosen.get("rungs", {}).items() for value in steps] or [{}]
    names, seconds = [], 0.0
    try:
        for step, rung in enumerate(rungs):
            found = [measured(chosen, trial.params | rung | {"seed": seed}, given, run) for seed in chosen["seeds"]]
            names.append([name for name, _ in found])
            seconds += sum(saved["seconds"] for _, saved in found)
            trial.set_user_attr("runs", names)
            trial.set_user_attr("seconds", round(seconds, 2))
            values = [mean(metric(saved, key) for _, saved in found) for key in chosen["objectives"]]
            if len(rungs) > 1:
                trial.report(values[0], step)
                if step < len(rungs) - 1 and trial.should_prune():
                    return TrialState.PRUNED, None
    except MISTAKES as error:
        if mendable(error):
            raise  # no fault of the trial's
        trial.set_user_attr("reason", reason(error).removeprefix("error: "))
        return TrialState.FAIL, None
    return TrialState.COMPLETE, values


def measured(chosen: Plan, parameters: Mapping[str, Any], given: Words, run: Run) -> tuple[str, dict[str, Any]]:
    """The name and the record of the run with these parameters, done now if it is not there."""
    config = composed(chosen, parameters, given)
    folder = record.folder(admitted(config))
    run(config)
    saved = record.finished(folder, folder.name)
    if saved is None:
        raise OSError(f"{folder} has no record, though its run has ended")
    return folder.name, saved


def metric(saved: Mapping[str, Any], key: str) -> float:
    """One metric of a record.

    Raises:
        ValueError: if the record has none of that name, as where it is undefined.
    """
    if key not in saved["metrics"]:
        raise ValueError(f"{key} is not among the metrics of the run")
    return saved["metrics"][key]


def give_up_killed(study: optuna.Study, database: Path) -> None:
    """Mark as failed what no living process is at; the caller holds the study's lock."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if not held(mark(database, trial.number)):
            study._storage.set_trial_user_attr(trial._trial_id, CUT_OFF, True)
            study.tell(trial.number, state=TrialState.FAIL)


def counted(study: optuna.Study) -> list[FrozenTrial]:
    """All trials but those that were cut off."""
    return [trial for trial in study.get_trials(deepcopy=False) if CUT_OFF not in trial.user_attrs]


def mark(database: Path, number: int) -> Path:
    """Names the lock of one trial."""
    return database.with_name(f"{database.stem}-{number}")


def described(study: optuna.Study) -> Iterator[dict[str, Any]]:
    """Every trial that has ended and was not cut off, as it is recorded."""
    for trial in counted(study):
        if trial.state.is_finished():
            yield {
                "number": trial.number,
                "state": "refused" if trial.state == TrialState.FAIL else trial.state.name.lower(),
                "parameters": trial.params,
                "values": trial.values if trial.state == TrialState.COMPLETE else None,
                "rungs": [trial.intermediate_values[step] for step in sorted(trial.intermediate_values)],
                **{key: trial.user_attrs.get(key) for key in ("runs", "seconds", "reason")},
            }


def said(title: str, chosen: Plan, trial: FrozenTrial) -> str:
    """One line about a trial that has ended."""
    settings = ", ".join(f"{key.rpartition('.')[2]} {value}" for key, value in trial.params.items())
    if trial.state == TrialState.COMPLETE:
        how = ", ".join(f"{key} {value:.4g}" for key, value in zip(chosen["objectives"], trial.values, strict=True))
    elif trial.state == TrialState.PRUNED:
        how = f"pruned after {len(trial.intermediate_values)} rungs at {trial.value:.4g}"
    else:
        how = f"refused: {trial.user_attrs['reason']}"
    return f"{title}: trial {trial.number}: {settings}: {how}"
