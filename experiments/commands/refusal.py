"""User mistakes end in one clear line and a non-zero exit; HYDRA_FULL_ERROR=1 shows the traceback instead."""

import os
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from functools import wraps
from pathlib import Path
from typing import Any

from hydra.errors import CompactHydraException, HydraException, InstantiationException
from omegaconf.errors import OmegaConfBaseException

MISTAKES = (ValueError, OSError, HydraException, OmegaConfBaseException)
"""What bad input and the file system raise; anything else is a bug, and keeps its traceback."""
STOPPED = "MODELGIF_SWEEP_STOPPED"
"""Names the environment variable with the file whose being there says: start no more jobs of this sweep."""
ONE_LINE = "MODELGIF_ONE_LINE"
"""Names the environment variable that says: Hydra shall raise, not print lines of its own, and the door says it."""


class Mendable(ValueError):
    """What is on disk is missing, damaged or of another kind: once it is mended, the same settings may do."""


class Refused(CompactHydraException):
    """One line for the user. Hydra prints it, exits with 1, and goes on with a sweep's other jobs."""


class NotStarted(Refused):
    """A job that was not begun, because one before it failed."""


def one_line(task: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Turn the errors that bad input causes, and those of the file system, into one line."""

    @wraps(task)
    def guarded(config: Any) -> Any:
        if Path(os.environ.get(STOPPED, os.devnull)).is_file():
            raise NotStarted("not started, because another job failed before (on_error=stop)")
        try:
            return task(config)
        except MISTAKES as error:
            if tracebacks_wanted() or isinstance(error, Refused):
                raise
            raise Refused(f"error: {reason(error)}") from None

    return guarded


def tracebacks_wanted() -> bool:
    """Whether the user has asked for them."""
    return bool(os.environ.get("HYDRA_FULL_ERROR")) and ONE_LINE not in os.environ


def mendable(error: BaseException | None) -> bool:
    """Whether the same settings may do another time: what is wrong, or led to it, is on disk, or a device's.

    >>> mendable(OSError("disk full")), mendable(ValueError("budget must be at least 1"))
    (True, False)
    """
    while error is not None:
        if isinstance(error, (OSError, Mendable)):
            return True
        error = error.__cause__ or error.__context__
    return False


def reason(error: BaseException) -> str:
    """What went wrong, in one line; with its type where it is no mistake of the user's."""
    cause = error.__cause__ if isinstance(error, InstantiationException) and error.__cause__ else error
    text = " ".join(str(cause).split()).removeprefix("error: ")
    return text if isinstance(error, MISTAKES) else f"{type(error).__name__}: {text}"


def nearest(name: str, known: Iterable[str], has: str = "it has") -> str:
    """What is known, said of a wrong name: first the one that is most like it, if one is, then all.

    >>> nearest("modelgiff", ["akh", "modelgif"])
    'did you mean modelgif? It has akh, modelgif'
    >>> nearest("zest", ["akh", "modelgif"], "the methods are")
    'the methods are akh, modelgif'
    """
    known = list(known)
    near = get_close_matches(name, known, n=1)
    listed = f"{has} {', '.join(known) or 'none'}"
    return f"did you mean {near[0]}? {listed[0].upper()}{listed[1:]}" if near else listed
