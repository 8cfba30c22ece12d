"""What the pictures for a browser have in common: numbers as they keep them, a thin line, a legend."""

from collections.abc import Iterable
from math import isfinite
from typing import Any

import altair as alt
import pandas as pd

from experiments.pages.section import decimal

DIGITS = 4
"""Decimals that a picture keeps."""


def across(*, x: float | None = None, y: float | None = None, says: str = "chance") -> alt.Chart:
    """A thin line across the picture, at x or at y."""
    at = alt.XDatum(kept(x), type="quantitative") if x is not None else alt.YDatum(kept(y), type="quantitative")
    line = alt.Chart(pd.DataFrame({"says": [says]})).mark_rule(style="chance")
    return line.encode(at, tooltip="says:N")


def above(entries: int) -> alt.Legend | None:
    """A legend over the picture; none for a single entry."""
    return alt.Legend(orient="top", symbolOpacity=1) if entries > 1 else None


def told(estimate: Iterable[float]) -> dict[str, Any]:
    """A value and its interval's ends, and what the page says of them where a reader points at the mark."""
    value, low, high = estimate
    text = decimal(value) + (f" [{decimal(low)}, {decimal(high)}]" if isfinite(low) and low != high else "")
    return {"value": kept(value), "low": kept(low), "high": kept(high), "shown": text}


def kept(value: Any) -> float | None:
    """The number as a picture keeps it; None if there is none."""
    return round(float(value), DIGITS) if value is not None and isfinite(value) else None
