"""Files that are either whole or not there, made once: atomic writes, and locks between processes."""

import errno
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

ROOT = Path(__file__).parents[2]
"""The project's folder."""
PUBLISHED = ROOT / "results" / "published"
"""Figures of papers, as CSV."""
PERMISSION = "change its permissions or choose another folder"
SPACE = "free some space or choose another folder"
REMEDIES = {
    errno.EACCES: PERMISSION,
    errno.EPERM: PERMISSION,
    errno.EROFS: PERMISSION,
    errno.ENOSPC: SPACE,
    errno.EDQUOT: SPACE,
    errno.EFBIG: SPACE,
    errno.EISDIR: "a folder lies where a file belongs; move it away",
    errno.ENOTDIR: "a file lies where a folder belongs; move it away or choose another folder",
    errno.EEXIST: "a file lies where a folder belongs; move it away or choose another folder",
}
"""What to do, by the system's number of an error."""


@contextmanager
def explained(action: str) -> Iterator[None]:
    """Errors of the file system say what could not be done and what to do; a missing file stays one."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        remedy = REMEDIES.get(error.errno or 0, "choose another folder")
        raise OSError(f"{action}: {error.strerror or error}; {remedy}") from error


def read(path: Path) -> bytes:
    """What is in the file at path.

    Raises:
        FileNotFoundError: if there is none.
        OSError: if it cannot be read; says why and what to do.
    """
    with explained(f"cannot read {path}"):
        return path.read_bytes()


def write(path: Path, content: bytes) -> None:
    """Put content at path in one step: a reader, or a run after a crash, finds all of it or nothing.

    Raises:
        OSError: if the folder cannot be written or the disk is full; nothing is left behind.
    """
    # A folder may be shared between machines, where process numbers repeat.
    partial = path.with_name(f".{path.name}.{platform.node()}.{os.getpid()}.partial")
    with explained(f"cannot write {path}"):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold a lock named after path; one process at a time works on it, and a killed one lets go.

    Raises:
        OSError: if the folder cannot be written.
    """
    folder = path.parent / ".locks"
    held = FileLock(folder / f"{path.name}.lock")
    with explained(f"cannot lock {path}"):
        folder.mkdir(parents=True, exist_ok=True)
        held.acquire()
    try:
        yield
    finally:
        held.release()


def held(path: Path) -> bool:
    """Whether a living process holds the lock named after path; whoever was killed holds none."""
    file = path.parent / ".locks" / f"{path.name}.lock"
    try:
        if file.exists():
            with FileLock(file).acquire(timeout=0):
                pass
    except Timeout:
        return True
    except OSError:  # a folder that may not be written has nobody who works in it
        pass
    return False


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
