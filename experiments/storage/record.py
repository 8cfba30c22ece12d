"""A run is a folder named by its configuration; it is finished once a report is in it and all files that this lists."""

import hashlib
import json
import platform
import subprocess
from collections.abc import Collection
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.storage import identity
from experiments.storage.files import ROOT, explained, read, write
from experiments.storage.tables import FORMAT, read_table

if TYPE_CHECKING:
    import pandas as pd

    from experiments.interfaces import Report

FACTS = ["source_role", "target_role", "architecture", "accuracy", "distance"]
"""Columns of `distances.csv` in front of the distances themselves."""
ENTRIES = frozenset({"metrics", "config", "identity", "commit", "device", "seconds", "versions", "files"})
"""What a report says, beside its own checksum."""


def folder(config: dict[str, Any]) -> Path:
    """Where the record of this configuration lies or will lie."""
    return Path(config["results"]) / "runs" / identity.digest(identity.run(config))


def places(config: Any, keys: Collection[str] = ("root", "folder")) -> dict[str, Any]:
    """Where a configuration says that its data lie; no part of its name, since the same data may lie anywhere."""
    parts = config.items() if isinstance(config, dict) else enumerate(config) if isinstance(config, list) else ()
    found = {f"{key}.{name}": place for key, part in parts for name, place in places(part, keys).items()}
    return found | {str(key): part for key, part in parts if key in keys}


def portable(saved: dict[str, Any]) -> dict[str, Any]:
    """A report as it may be shown to others: folders of this machine by their last names alone, nothing else changed.

    >>> portable({"config": {"zoo": {"cache": "/somebody/cache", "seed": 0}}})["config"]
    {'zoo': {'cache': 'cache', 'seed': 0}}
    """
    content = {key: part for key, part in saved.items() if key != "checksum"}
    content["config"] = _without_folders(content["config"])
    return content | {"checksum": identity.digest(content)}


def _without_folders(part: Any) -> Any:
    if isinstance(part, dict):
        return {key: _without_folders(value) for key, value in part.items()}
    if isinstance(part, list):
        return [_without_folders(value) for value in part]
    return Path(part).name if isinstance(part, str) and Path(part).is_absolute() else part


def sealed(saved: dict[str, Any]) -> bytes:
    """What is in the file of a report."""
    return json.dumps(saved, indent=1).encode()


def title(config: dict[str, Any]) -> str:
    """A run's name on the terminal."""
    return f"{config['name']}: {config['method']['label']}, seed {config['seed']}"


def finished(path: Path, name: str | None = None) -> dict[str, Any] | None:
    """The record of a finished run, or None if there is no report; every file that it lists is verified.

    Args:
        path: the run's folder.
        name: of the configuration asked for, as `folder` gives it; None takes the record of any.

    Raises:
        ValueError: if a file is damaged or missing, or the record is of another configuration; names it and the remedy.
        OSError: if a file cannot be read.
    """
    file = path / "report.json"
    try:
        saved = _verified(file, read(file))
    except FileNotFoundError:
        return None
    if name not in (None, identity.digest(saved["identity"])):
        raise ValueError(f"{file} is the record of another configuration; {remedy(path)}")
    for part, checksum in saved["files"].items():
        try:
            intact = _checksum(read(path / Path(part).name)) == checksum
        except FileNotFoundError:
            raise ValueError(f"{path / part} is missing; {remedy(path)}") from None
        if not intact:
            raise ValueError(f"{path / part} is damaged (its checksum does not match); {remedy(path)}")
    return saved


def forget(path: Path) -> None:
    """Take away the report, so that a run that is measured again and killed does not look finished."""
    with explained(f"cannot remove {path / 'report.json'}"):
        (path / "report.json").unlink(missing_ok=True)


def remedy(path: Path) -> str:
    """What to do about a run that is not whole."""
    return f"measure it again with rerun=true, or delete {path} (git checkout brings a recorded one back)"


def distances(path: Path) -> "pd.DataFrame":
    """The distances of a finished run: index (source, target), one column per reference point.

    Raises:
        ValueError: if they are missing or damaged.
    """
    file = path / "distances.csv"
    table = read_table(file, index=["source", "target"], remedy=remedy(path))
    try:
        return table.drop(columns=FACTS).astype(float)
    except (ValueError, KeyError) as error:
        raise ValueError(f"{file} is damaged ({error.args[0]}); {remedy(path)}") from error


def matrix(path: Path, name: str) -> "pd.DataFrame":
    """A matrix that the testbed's score has left beside the distances of a finished run.

    Raises:
        ValueError: if there is none of that name, or it is damaged.
    """
    return read_table(path / f"{name}.csv", index=0, remedy=remedy(path))


def keep(path: Path, table: "pd.DataFrame") -> Path:
    """Write distances as soon as they are measured, which may have taken a day; returns the file.

    They are no record, which `save` makes of them once they are scored.
    """
    file = path / "distances.csv"
    write(file, _csv(table))
    return file


def _csv(table: "pd.DataFrame") -> bytes:
    return table.to_csv(float_format=FORMAT).encode()


def save(
    path: Path,
    config: dict[str, Any],
    table: "pd.DataFrame",
    report: "Report",
    seconds: float,
    *,
    images: str,
) -> dict[str, Any]:
    """Write distances, matrices and, last, the report, which lists them with their checksums; returns the report.

    `images` is the fingerprint of what reference points were drawn from and models learnt from. A metric that is not
    finite is left out: JSON knows no NaN, and readers take a missing one for undefined.
    """
    import torch  # only here, so that asking for a finished run takes no time

    tables = {"distances": table, **report.matrices}
    contents = {f"{name}.csv": _csv(table) for name, table in tables.items()}
    for name, content in contents.items():
        write(path / name, content)
    record = {
        "metrics": {name: value for name, value in report.metrics.items() if isfinite(value)},
        "config": {key: config[key] for key in ("name", "testbed", "method", "seed")},
        "identity": identity.run(config),
        "images": images,
        "commit": commit(),
        "device": _device(config["device"]),
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "seconds": round(seconds, 2),
        "files": {name: _checksum(content) for name, content in contents.items()},
    }
    record = json.loads(json.dumps(record, allow_nan=False))  # as it will be read: JSON's keys are text
    record["checksum"] = identity.digest(record)
    write(path / "report.json", sealed(record))
    return record


def _verified(file: Path, content: bytes) -> dict[str, Any]:
    """The report in a file, which has all its entries and whose own checksum holds."""
    try:
        saved = json.loads(content.decode())
        checksum = saved.pop("checksum", None)
    except (ValueError, AttributeError, TypeError, RecursionError):
        raise ValueError(f"{file} is damaged (no JSON of a report); {remedy(file.parent)}") from None
    lacking = ENTRIES - set(saved)
    if lacking or checksum is None:
        said = ", ".join(sorted(lacking)) or "a checksum"
        raise ValueError(f"{file} is no report of this version (it lacks {said}); {remedy(file.parent)}")
    whole = saved | {"checksum": checksum}
    # The text, too: a last digit that changes no number tells of damage.
    if identity.digest(saved) != checksum or json.dumps(whole, indent=1) != content.decode().strip():
        raise ValueError(f"{file} is damaged (its checksum does not match); {remedy(file.parent)}")
    return whole


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


def commit() -> str:
    """The checked-out commit, and whether any file of the project but results made by it and texts differs from it."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    try:
        made = [f":!results/{folder}" for folder in ("recorded", "tables", "figures", "benchmarks", "page")]
        changed = git("status", "--porcelain", "--", ".", *made, ":!*.md")
        return git("rev-parse", "HEAD") + (" (changed)" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _device(name: str) -> str:
    import torch

    if name.startswith("cuda"):
        return torch.cuda.get_device_name(torch.device(name))
    return f"{name} ({platform.machine()}, {torch.get_num_threads()} thread)"
