"""A published number beside the recomputed one, and the tables that such numbers stand in."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from experiments.statistics import ranking

EARLIER = "earlier recomputation"
"""Printed by no paper: computed from the same published data before this program was written."""


class PublishedNumber(NamedTuple):
    """A number as published and as recomputed; None where it is only one of the two."""

    name: str
    published: float | None
    recomputed: float | None
    tolerance: float | None
    source: str

    @property
    def excess(self) -> float | None:
        """Difference in units of the tolerance, infinite if a value is broken; None if there is nothing to compare."""
        if self.published is None or self.recomputed is None or self.tolerance is None:
            return None
        difference = abs(self.recomputed - self.published)
        return difference / self.tolerance if np.isfinite(difference) else np.inf

    @property
    def verdict(self) -> str:
        """`ok`, `MISMATCH`, or — where there is nothing to compare."""
        # A binary fraction may miss a limit such as .00005 by a hair.
        return "—" if self.excess is None else "ok" if self.excess <= 1 + 1e-6 else "MISMATCH"


def digits(number: int) -> float:
    """Largest error of a value that was rounded to so many decimals."""
    return 0.5 * 10.0**-number


def worst(name: str, numbers: list[PublishedNumber]) -> PublishedNumber:
    """The one of several figures that misses by most of its tolerance, under a common name."""
    found = max(numbers, key=lambda number: number.excess or 0)
    return found._replace(name=f"{name}, worst of {len(numbers)}: {found.name}")


def read(file: Path) -> pd.DataFrame:
    """A published table; a matrix between tasks has their names on both axes.

    Raises:
        ValueError: in one line, if it is missing or damaged.
    """
    try:
        table = pd.read_csv(file)
        if file.name.endswith("_17x17.csv"):
            matrix = table.set_index("task")
            return ranking.check(matrix, matrix)[0]
        for name, column in table.select_dtypes(exclude="number").items():
            numeric = pd.to_numeric(column, errors="coerce").notna()
            if numeric.any():
                raise ValueError(f"column {name} holds {column[~numeric].iloc[0]!r} among numbers")
        return table
    except OSError as error:
        raise ValueError(f"{file.name}: {error.strerror}") from error
    except (KeyError, ValueError) as error:
        raise ValueError(f"{file.name}: {str(error).splitlines()[0]}") from error
