"""CSV files as tables; whatever is wrong with one ends in one line that names it."""

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from experiments.commands.refusal import Mendable
from experiments.storage.files import PUBLISHED, read

if TYPE_CHECKING:
    import pandas as pd

FORMAT = "%.6g"
"""How measured numbers are written: they are of single precision, and have no more digits than these."""


Numbers = TypeVar("Numbers", "pd.Series", "pd.DataFrame")


def as_written(numbers: Numbers) -> Numbers:
    """Numbers as their file will give them.

    Whatever is scored is this: what rounding leaves in further digits must not decide which of two models that are
    equally far is nearer, and whoever scores a record finds what it says.
    """
    return numbers.map(written)


def written(number: float) -> float:
    """One number as its file will give it.

    >>> written(0.1 + 0.2), written(1 / 3)
    (0.3, 0.333333)
    """
    return float(FORMAT % number)


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
        raise Mendable(f"{file} is missing; {remedy}") from None
    except (ValueError, LookupError, TypeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise Mendable(f"{file} is damaged ({reason}); {remedy}") from error


def published(file: str, *, index: str | list[str] | int) -> "pd.DataFrame":
    """Figures of a paper, from `results/published`; raises as `read_table` does."""
    return read_table(PUBLISHED / file, index=index, remedy="git checkout brings it back")
