"""User mistakes end in one clear line and a non-zero exit; HYDRA_FULL_ERROR=1 shows the traceback instead."""

import os
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from functools import wraps
from typing import Any

from hydra.errors import InstantiationException


def one_line(task: Callable[[Any], None]) -> Callable[[Any], None]:
    """Turn the errors that bad input causes, and those of the file system, into one line."""

    @wraps(task)
    def guarded(config: Any) -> None:
        try:
            task(config)
        except (ValueError, OSError, InstantiationException) as error:
            if os.environ.get("HYDRA_FULL_ERROR"):
                raise
            cause = error.__cause__ if isinstance(error, InstantiationException) and error.__cause__ else error
            raise SystemExit(f"error: {' '.join(str(cause).split())}") from None

    return guarded


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
