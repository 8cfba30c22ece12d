"""A run is a folder named by its configuration; it is finished once `report.json` is in it."""

import json
import platform
import subprocess
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.storage import identity
from experiments.storage.files import ROOT, write

if TYPE_CHECKING:
    import pandas as pd

    from experiments.interfaces import Report


def folder(config: dict[str, Any]) -> Path:
    """Where the record of this configuration lies or will lie."""
    return Path(config["results"]) / "runs" / identity.digest(identity.run(config))


def places(config: Any) -> dict[str, Any]:
    """Where a configuration says that its data lie; no part of its name, since the same data may lie anywhere."""
    parts = config.items() if isinstance(config, dict) else enumerate(config) if isinstance(config, list) else ()
    found = {f"{key}.{name}": place for key, part in parts for name, place in places(part).items()}
    return found | {key: part for key, part in parts if key in ("root", "folder")}


def title(config: dict[str, Any]) -> str:
    """A run's name on the terminal."""
    return f"{config['name']}: {config['method']['label']}, seed {config['seed']}"


def finished(path: Path) -> dict[str, Any] | None:
    """The record of a finished run, or None.

    Raises:
        ValueError: if the record cannot be read.
    """
    file = path / "report.json"
    if not file.exists():
        return None
    try:
        return json.loads(file.read_text())
    except ValueError:
        raise ValueError(f"{file} is damaged; delete it and run again") from None


def distances(path: Path) -> "pd.DataFrame":
    """The distances of a finished run: index (source, target), one column per reference point."""
    import pandas as pd

    table = pd.read_csv(path / "distances.csv", index_col=["source", "target"])
    return table.drop(columns=["source_role", "target_role", "architecture", "accuracy", "distance"]).astype(float)


def matrix(path: Path, name: str) -> "pd.DataFrame":
    """A matrix that the testbed's score has left beside the distances of a finished run.

    Raises:
        ValueError: if there is none of that name.
    """
    import pandas as pd

    file = path / f"{name}.csv"
    if not file.exists():
        raise ValueError(f"{file} is missing: the run was recorded without it; measure it again with rerun=true")
    return pd.read_csv(file, index_col=0)


def save(
    path: Path,
    config: dict[str, Any],
    table: "pd.DataFrame",
    report: "Report",
    seconds: float,
    *,
    images: str,
) -> dict[str, Any]:
    """Write distances, matrices and, last, the report; returns the report.

    `images` is the fingerprint of the pool that reference points were drawn from. A metric that is not finite is left
    out: JSON knows no NaN, and readers take a missing one for undefined.
    """
    import torch  # only here, so that asking for a finished run takes no time

    write(path / "distances.csv", table.to_csv(float_format="%.6g").encode())
    for name, matrix in report.matrices.items():
        write(path / f"{name}.csv", matrix.to_csv(float_format="%.6g").encode())
    record = {
        "metrics": {name: value for name, value in report.metrics.items() if isfinite(value)},
        "config": {key: config[key] for key in ("name", "testbed", "method", "seed")},
        "identity": identity.run(config),
        "images": images,
        "commit": commit(),
        "device": _device(config["device"]),
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "seconds": round(seconds, 2),
    }
    write(path / "report.json", json.dumps(record, indent=1, allow_nan=False).encode())
    return record


def commit() -> str:
    """The checked-out commit, and whether any file of the project but results and texts differs from it."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--", ".", ":!results", ":!*.md")
        return git("rev-parse", "HEAD") + (" (changed)" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _device(name: str) -> str:
    import torch

    if name.startswith("cuda"):
        return torch.cuda.get_device_name(torch.device(name))
    return f"{name} ({platform.machine()}, {torch.get_num_threads()} thread)"
