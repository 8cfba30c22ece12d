"""CSV files as tables; whatever is wrong with one ends in one line that names it."""

from pathlib import Path
from typing import TYPE_CHECKING

from experiments.storage.files import PUBLISHED, read

if TYPE_CHECKING:
    import pandas as pd


def read_table(file: Path, *, index: str | list[str] | int, remedy: str) -> "pd.DataFrame":
    """The table in a file, with these columns as its index.

    Raises:
        ValueError: if it is missing or cannot be parsed; ends with what to do.
        OSError: if it cannot be read.
    """
    from io import BytesIO

    import pandas as pd  # only here, so that asking for a finished run takes no time

    try:
        return pd.read_csv(BytesIO(read(file)), index_col=index)
    except FileNotFoundError:
        raise ValueError(f"{file} is missing; {remedy}") from None
    except (ValueError, LookupError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{file} is damaged ({reason}); {remedy}") from error


def published(file: str, *, index: str | list[str] | int) -> "pd.DataFrame":
    """Figures of a paper, from `results/published`; raises as `read_table` does."""
    return read_table(PUBLISHED / file, index=index, remedy="git checkout brings it back")
