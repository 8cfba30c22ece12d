"""Sends a recorded run to W&B; the only file that imports wandb. The truth is `report.json`."""

import hashlib
import json
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Literal

import pandas as pd
import wandb

from experiments.storage import record
from experiments.storage.files import write

Mode = Literal["online", "offline"]
TAG = 64
"""The most characters that W&B takes in a tag."""
SECONDS = 15
"""How long the server may take to answer."""
LATER = "python -m experiments.track --missing sends it later"


def refuse_unsendable(results: Path, mode: Mode) -> None:
    """Refuse what would fail after measuring: a folder that cannot be written, no key, a server that does not answer.

    Raises:
        ConnectionError: if there is no valid key, or no answer within seconds.
        OSError: if the folder for W&B's files cannot be written.
    """
    folder = results / "wandb"  # W&B itself would turn to a temporary folder that nobody looks into
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(f"cannot write {folder} ({error.strerror}): free it, or choose wandb=disabled") from error
    if mode == "online":
        try:
            wandb.setup(_settings())
            ready = wandb.login(prompt=False, verify=True)
        except wandb.Error as error:
            raise ConnectionError(f"wandb=online is not to be had: {error}; choose wandb=offline") from error
        if not ready:
            raise ConnectionError(
                "wandb=online needs a key: run `wandb login`, set WANDB_API_KEY, or choose wandb=offline"
            )


def send(folder: Path, results: Path, *, project: str, mode: Mode) -> None:
    """One W&B run for the recorded run in a folder: its metrics, distances and figures, grouped by experiment.

    The run's id is the folder's name, so that sending twice gives one. What has arrived is marked in the folder.

    Raises:
        ConnectionError: if W&B does not take it; the record stays.
        ValueError: if the record is damaged; names the file and the remedy.
    """
    report = record.finished(folder)
    if report is None:
        raise ValueError(f"{folder} has no record")
    distances = pd.read_csv(folder / "distances.csv")
    try:
        run = wandb.init(
            project=project,
            mode=mode,
            id=folder.name,
            config=report["config"] | {key: report[key] for key in ("commit", "device")},
            dir=results,
            settings=_settings(),
            **called(report),
        )
        try:
            run.log(report["metrics"])
            run.log({"distances": wandb.Table(dataframe=distances)})
            run.log({picture.stem: wandb.Image(str(picture)) for picture in sorted(folder.glob("*.png"))})
        finally:  # not `with`, which prints a traceback
            run.finish()
    except (wandb.Error, OSError, ValueError) as error:
        raise ConnectionError(f"W&B did not take {folder}, whose record is safe: {error}; {LATER}") from error
    if mode == "online":
        write(_mark(folder), json.dumps({"report": _digest(folder)}).encode())


def called(report: dict[str, Any]) -> dict[str, Any]:
    """What W&B shows of a run: its experiment as the group, its testbed as the kind, its method and seed as the name.

    >>> config = {"name": "demo", "method": {"label": "AKH", "access": "label"}, "testbed": {"budget": 32}, "seed": 1}
    >>> called({"identity": {"testbed": ["IPProtection", {}]}, "config": config})
    {'group': 'demo', 'job_type': 'IPProtection', 'name': 'AKH, 32 points, seed 1', 'tags': ['AKH', 'access: label']}
    """
    testbed, config = report["identity"]["testbed"][0], report["config"]
    method, budget = config["method"], config["testbed"].get("budget")
    words = [method["label"], f"{budget} points" if budget else "", f"seed {config['seed']}"]
    return {
        "group": config["name"],
        "job_type": testbed,
        "name": ", ".join(word for word in words if word),
        "tags": [method["label"][:TAG], f"access: {method['access']}"],
    }


def missing(results: Path) -> list[Path]:
    """Folders of recorded runs that W&B does not have, or of which it has an earlier measurement."""
    return [folder for folder in recorded(results) if not arrived(folder)]


def recorded(results: Path) -> list[Path]:
    """Folders of all recorded runs."""
    return sorted(file.parent for file in results.glob("runs/*/report.json"))


def arrived(folder: Path) -> bool:
    """Whether W&B has taken this very record."""
    try:
        return json.loads(_mark(folder).read_text())["report"] == _digest(folder)
    except (OSError, ValueError, KeyError):
        return False


def _settings() -> wandb.Settings:
    return wandb.Settings(
        silent=True,
        init_timeout=SECONDS,
        finish_timeout=2 * SECONDS,
        finish_timeout_raises=True,
        x_graphql_timeout_seconds=SECONDS / 2,
        x_graphql_retry_max=1,
    )


def _mark(folder: Path) -> Path:
    return folder / "wandb.json"


def _digest(folder: Path) -> str:
    return hashlib.sha256((folder / "report.json").read_bytes()).hexdigest()[:12]
