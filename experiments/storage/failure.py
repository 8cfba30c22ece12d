"""Why a run has no record: `failed.json` in its folder, until it succeeds."""

import json
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from experiments.commands.refusal import MISTAKES, reason
from experiments.storage.files import write


def file(folder: Path) -> Path:
    """Where a run's folder says why the run failed."""
    return folder / "failed.json"


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
