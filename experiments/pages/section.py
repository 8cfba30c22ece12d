"""What the sections of pages are made of: a paragraph with a table, and numbers as text."""

import re
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite

import numpy as np
import pandas as pd

NOTHING = "—"
"""What a page shows where nothing was measured."""


def section(explanation: str, table: pd.DataFrame) -> str:
    """A paragraph and the table beneath it."""
    return f"{explanation}\n\n{grid(table)}"


def grid(table: pd.DataFrame) -> str:
    """The table in Markdown; what a cell or a name says stays in its cell.

    >>> print(grid(pd.DataFrame({"a|b": ["1"]}, index=["two\\nlines"])))
    |           | a\\|b   |
    |:----------|:-------|
    | two lines | 1      |
    """
    named = table.rename(index=_in_a_cell, columns=_in_a_cell).map(_in_a_cell)
    return named.to_markdown(disable_numparse=True)


def without_html(text: str) -> str:
    """The text with tags and comments shown instead of obeyed.

    >>> without_html("p < 0.001 <b>")
    'p < 0.001 &lt;b>'
    """
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", text)


def _in_a_cell(value: object) -> object:
    return re.sub(r"\s+", " ", value).replace("|", "\\|") if isinstance(value, str) else value


def values(metrics: Iterable[Mapping[str, float | None]], key: str) -> list[float]:
    """The values of one metric in those records that have it."""
    return [value for one in metrics if (value := one.get(key)) is not None and isfinite(value)]


def mean(metrics: Iterable[Mapping[str, float | None]], key: str) -> float:
    """Their mean; NaN if no record has that metric."""
    found = values(metrics, key)
    return float(np.mean(found)) if found else np.nan


def estimate(metrics: Sequence[Mapping[str, float | None]], key: str) -> tuple[float, float, float]:
    """Mean of one metric and of its interval's ends, low and high; NaN for what no record has."""
    value, low, high = (mean(metrics, f"{key}{end}") for end in ("", "/low", "/high"))
    return value, low, high


def decimal(value: float) -> str:
    """A number with two digits, — if there is none.

    >>> decimal(0.125), decimal(float("nan"))
    ('0.12', '—')
    """
    return f"{value:.2f}" if isfinite(value) else NOTHING


def probability(p: float, *, digits: int = 3) -> str:
    """A p-value with so many digits; never a zero, for no test shows one.

    >>> probability(0.0004), probability(0.0421)
    ('< 0.001', '0.042')
    """
    if not isfinite(p):
        return NOTHING
    return f"< {10**-digits:.{digits}f}" if p < 10**-digits else f"{p:.{digits}f}"
