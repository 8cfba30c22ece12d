"""Files that are either whole or not there, made once: atomic writes, and locks between processes."""

import os
import platform
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

ROOT = Path(__file__).parents[2]
"""The project's folder."""
PUBLISHED = ROOT / "results" / "published"
"""Figures of papers, as CSV."""


def write(path: Path, content: bytes) -> None:
    """Put content at path in one step: a reader, or a run after a crash, finds all of it or nothing.

    Raises:
        OSError: if the folder cannot be written or the disk is full; nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # A folder may be shared between machines, where process numbers repeat.
    partial = path.with_name(f".{path.name}.{platform.node()}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise OSError(
            f"cannot write {path}: {error.strerror or error}; free some space or choose another folder"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def lock(path: Path) -> FileLock:
    """A lock named after path; one process at a time works on it, and a killed one lets go."""
    folder = path.parent / ".locks"
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / f"{path.name}.lock")


def make_once(path: Path, make: Callable[[], None], *, ready: Callable[[], bool] | None = None) -> bool:
    """Make what belongs at path, unless it is there; returns whether it was made.

    Of several processes that ask, one makes it and the others wait; one that was killed is followed by the next.

    Args:
        path: names the lock and, unless `ready` says otherwise, the file to be made.
        make: makes it, whole or not at all.
        ready: whether there is nothing left to do.
    """
    ready = ready or path.exists
    if ready():
        return False
    with lock(path):
        if ready():
            return False
        make()
    return True
