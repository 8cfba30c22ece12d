"""A sweep goes on past a job that fails, and says at the end what was done, what not, and why."""

import atexit
import json
import os
import platform
import shutil
import sys
import traceback
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from experiments.commands.door import admitted
from experiments.commands.interrupts import end_with, interrupted
from experiments.commands.refusal import MISTAKES, STOPPED, NotStarted, Refused, reason, tracebacks_wanted
from experiments.storage import failure, record
from experiments.storage.files import write

HERE = ("processes", "joblib", "submitit_local")
"""Launchers whose jobs are processes of this machine, which end with whoever started them; others' go on alone."""
STATES = ("done", "found finished", "failed", "not started", "cut off")


class Sweep(Callback):
    """Hydra's callback: it travels to every job, wherever that runs, and each leaves its outcome in one small file."""

    def __init__(self) -> None:
        self.place: Path | None = None

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Refuse a sweep without jobs; make the folder of outcomes."""
        refuse_empty(config)
        self.host, self.process, self.name = platform.node(), os.getpid(), config.name
        self.place = Path(config.results).absolute() / "runs" / f".sweep-{self.host}-{self.process}"
        try:
            shutil.rmtree(self.place, ignore_errors=True)  # of a killed sweep that had the same number
            self.place.mkdir(parents=True)
        except OSError as error:
            sys.exit(f"error: cannot write {config.results}: {error.strerror}; choose another folder for results")
        atexit.register(self.close)  # for a launcher that breaks, since Hydra then calls nobody

    def on_job_start(self, config: DictConfig, **_: Any) -> None:
        """Note that the job began."""
        os.environ.pop(STOPPED, None)
        if self.place is None:
            return
        os.environ[STOPPED] = str(self.place / "stopped")
        alone = config.hydra.runtime.choices["hydra/launcher"] not in HERE
        if not alone and platform.node() == self.host and os.getpid() != self.process:
            end_with(self.process)
        self.note(config, "cut off", "ended from outside; the same command goes on")

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **_: Any) -> None:
        """Note how the job ended; Hydra, which would end a sweep at the first failure, hears of none."""
        if self.place is None:
            end_in_one_line(job_return)
            return
        if job_return.status == JobStatus.COMPLETED:
            self.note(
                config, job_return.return_value or "done", folder=run_folder(config.hydra.job.name, job_return.cfg)
            )
            return
        error = job_return._return_value
        state = "not started" if isinstance(error, NotStarted) else "failed"
        folder = kept_in(config.hydra.job.name, job_return.cfg)
        self.note(config, state, reason(error), folder)
        if state == "failed":
            if config.on_error == "stop":
                write(self.place / "stopped", b"")
            if tracebacks_wanted() or not (isinstance(error, MISTAKES) or folder):
                traceback.print_exception(error)
            print(f"failed: {called(config)}: {reason(error)}", file=sys.stderr)
        job_return.status, job_return.return_value = JobStatus.COMPLETED, state

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        """Say how the sweep went; exit with 1 if not all is well."""
        if self.close():
            sys.exit(1)

    def note(self, config: DictConfig, state: str, why: str = "", folder: str = "") -> None:
        """Leave a job's outcome for the summary."""
        assert self.place is not None
        if not self.place.is_dir():  # the sweep was interrupted, and nobody reads it any more
            return
        outcome = {"state": state, "what": called(config), "why": why, "folder": folder}
        write(self.place / f"{config.hydra.job.num}.json", json.dumps(outcome).encode())

    def close(self) -> int:
        """Print the summary and forget the outcomes; returns how many jobs failed or did not run to their end."""
        atexit.unregister(self.close)
        if self.place is None or not self.place.exists():
            return 0
        files = sorted(self.place.glob("[0-9]*.json"), key=lambda file: int(file.stem))
        outcomes = [json.loads(file.read_text()) for file in files]
        shutil.rmtree(self.place)
        if not interrupted.is_set():
            print(summary(outcomes), file=sys.stderr)
            show_numbers(self.name, outcomes)
        return sum(outcome["state"] not in STATES[:2] for outcome in outcomes)


def end_in_one_line(alone: JobReturn) -> None:
    """End the program of a single run that was refused; Hydra would put a line of its own before the reason."""
    if alone.status == JobStatus.FAILED and isinstance(alone._return_value, Refused):
        sys.exit(str(alone._return_value))


def summary(outcomes: list[dict[str, str]]) -> str:
    """How many jobs ended how, and one line for each that is not done: what, why, and the folder that says more.

    >>> print(summary([{"state": "failed", "what": "seed=1", "why": "no samples", "folder": "results/runs/0a"}]))
    sweep: 1 failed
      failed: seed=1: no samples (results/runs/0a)
    """
    count = Counter(outcome["state"] for outcome in outcomes)
    said = [f"{count[state]} {state}" for state in STATES if count[state]] or ["no job began"]
    lines = [f"sweep: {', '.join(said)}"]
    for outcome, what in zip(outcomes, swept(outcomes), strict=True):
        if outcome["state"] not in STATES[:2]:
            place = f" ({outcome['folder']})" if outcome["folder"] else ""
            lines.append(f"  {outcome['state']}: {what}: {outcome['why']}{place}")
    return "\n".join(lines)


def swept(outcomes: list[dict[str, str]]) -> list[str]:
    """What sets each job apart: its overrides but those that all have."""
    words = [outcome["what"].split(" ") for outcome in outcomes]
    shared = set.intersection(*map(set, words)) if len(words) > 1 else set()
    return [" ".join(word for word in called if word not in shared) for called in words]


def show_numbers(name: str, outcomes: list[dict[str, str]]) -> None:
    """Print the headline number of every run of the experiment that ended well, where a person reads it."""
    if not sys.stderr.isatty():
        return
    from experiments.pages import closing  # only here, because drawing up numbers takes a second to import

    ended = []
    for outcome, what in zip(outcomes, swept(outcomes), strict=True):
        with suppress(ValueError, OSError):  # a damaged record has its own message when it is asked for
            saved = record.finished(Path(outcome["folder"])) if outcome["state"] in STATES[:2] else None
            ended += [(what, saved | {"config": saved["config"] | {"name": name}})] if saved else []
    closing.show_all(ended)


def called(config: DictConfig) -> str:
    """A job's own overrides, as on the command line."""
    return " ".join(config.hydra.overrides.task)


def kept_in(program: str, config: DictConfig | None) -> str:
    """The folder with a failed run's `failed.json`, or nothing: preparing and embedding have no such folder."""
    folder = run_folder(program, config)
    return folder if folder and failure.file(Path(folder)).exists() else ""


def run_folder(program: str, config: DictConfig | None) -> str:
    """The folder of a job's run, or nothing: preparing and embedding have none, nor has what cannot be named."""
    try:
        return str(record.folder(admitted(config))) if config and program == "run" else ""
    except Exception:
        return ""


def refuse_empty(config: DictConfig) -> None:
    """End the program if a sweep over `glob(...)` or `range(...)` has no values."""
    hydra = GlobalHydra.instance()
    params = config.hydra.sweeper.get("params") or {}
    given = [*config.hydra.overrides.task, *(f"{key}={value}" for key, value in params.items())]
    for override in OverridesParser.create(hydra.config_loader()).parse_overrides(given):
        if override.is_sweep_override() and override.is_discrete_sweep() and not list(override.sweep_iterator()):
            there = hydra.config_loader().get_group_options(override.key_or_group)
            hint = f"; there are {', '.join(there)}" if there else ""
            sys.exit(f"error: {override.input_line} matches nothing{hint}")
