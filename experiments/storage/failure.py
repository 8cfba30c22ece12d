"""Why a run has no record: `failed.json` in its folder, until it succeeds."""

import json
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from experiments.commands.refusal import MISTAKES, mendable, reason
from experiments.storage.files import write


def file(folder: Path) -> Path:
    """Where a run's folder says why the run failed."""
    return folder / "failed.json"


def refused(folder: Path) -> str | None:
    """The reason for which the run of this folder was refused; None if it was not, or failed in another way."""
    try:
        content = json.loads(file(folder).read_text())
        return content["reason"] if content.get("refused") else None
    except (OSError, ValueError, KeyError, AttributeError):
        return None


def refusals(records: Path) -> dict[str, str]:
    """Runs that were refused when the others in this folder were recorded: name -> reason."""
    try:
        return json.loads((records / "refused.json").read_text())
    except (OSError, ValueError):
        return {}


def keep_refusals(records: Path, found: Mapping[str, str]) -> None:
    """Add refusals to those of the folder; a run that has a record by now is refused no more."""
    known = refusals(records)
    content = {name: why for name, why in (known | dict(found)).items() if not (records / name).is_dir()}
    if content != known:
        write(records / "refused.json", json.dumps(dict(sorted(content.items())), indent=1).encode())


@contextmanager
def kept(folder: Path, config: dict[str, Any]) -> Iterator[None]:
    """Whatever is raised inside is kept in the run's folder; getting through removes what an earlier try left.

    A run that is recorded has not failed, whatever comes after. A bug keeps its traceback; a mistake of the user's says
    all in its reason. Interrupts are no failures.
    """
    try:
        yield
    except Exception as error:
        trace = None if isinstance(error, MISTAKES) else traceback.format_exc().splitlines()
        content = {
            "reason": reason(error),
            "traceback": trace,
            "refused": isinstance(error, MISTAKES) and not mendable(error),
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "config": {key: config[key] for key in ("name", "testbed", "method", "seed")},
        }
        if (folder / "report.json").exists():
            file(folder).unlink(missing_ok=True)
            raise
        with suppress(OSError):  # where nothing can be written, the terminal alone says why
            write(file(folder), json.dumps(content, indent=1, default=str).encode())
        raise
    file(folder).unlink(missing_ok=True)
