"""User mistakes end in one clear line and a non-zero exit; HYDRA_FULL_ERROR=1 shows the traceback instead."""

import os
from collections.abc import Callable
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
