"""Stopping when the order of the models is settled, with a stated error however often one looks."""

from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class OrderSettled:
    """Stops once, for a share of all pairs of models, it is settled which is nearer to the source, or that neither is.

    Both models of a pair see the same reference points, so the mean of their differences is followed, inside an
    interval that holds at every look (asymptotic confidence sequence: Waudby-Smith et al., 2024, theorem 2.2). A pair
    is settled once its interval leaves out zero (their order) or lies within the tolerance (as good as equal).

    >>> OrderSettled(error=2)
    Traceback (most recent call last):
    ...
    ValueError: error must be between 0 and 1, not 2
    """

    error: float = 0.05
    """How likely a pair is ever settled the wrong way round; pair by pair, so it bounds their expected share."""
    tolerance: float = 0.05
    """Difference of two distances that is as good as none, in units of the distance."""
    share: float = 0.9
    """Of all pairs, how many must be settled: above 0, to 1."""
    every: int = 8
    """Reference points between two looks."""

    def __post_init__(self) -> None:
        if not 0 < self.error < 1:
            raise ValueError(f"error must be between 0 and 1, not {self.error}")
        if not 0 < self.share <= 1 or self.tolerance < 0:
            raise ValueError(f"share {self.share} must be above 0 and at most 1, tolerance {self.tolerance} at least 0")
        if self.every < 2:
            raise ValueError(f"every must be at least 2, not {self.every}: an interval needs a spread")

    def __call__(self, distances: pd.DataFrame) -> bool:
        """Whether enough pairs are settled: index (source, target), one column per reference point, NaN where dead."""
        found = [self._settled(group) for _, group in distances.groupby(level="source")]
        pairs = np.concatenate(found)
        return len(pairs) == 0 or bool(pairs.mean() >= self.share)

    def _settled(self, group: pd.DataFrame) -> np.ndarray:
        """For each pair of targets of one source, whether it is settled."""
        references = group.T.reset_index(drop=True)
        first, second = np.triu_indices(references.shape[1], 1)
        mean, spread = references.mean().to_numpy(), references.cov(min_periods=2).to_numpy()
        variance = spread[first, first] + spread[second, second] - 2 * spread[first, second]
        width = np.sqrt(variance.clip(min=0)) * half_width(len(references), self.error, self.every)
        difference = np.abs(mean[first] - mean[second])
        return (difference > width) | (difference + width <= self.tolerance)


def half_width(count: int, error: float, tightest: int) -> float:
    """Half the interval of a mean of `count` draws, in standard deviations, valid at all counts together.

    Args:
        count: draws so far.
        error: chance that the mean ever lies outside; the guarantee is asymptotic.
        tightest: the count at which it is narrowest.

    >>> half_width(100, 0.05, 100) > 1.96 / 100**0.5  # dearer than an interval for one look
    True
    """
    scale = (-2 * np.log(error) + np.log(-2 * np.log(error)) + 1) / tightest  # rho squared, equation 10
    return float(np.sqrt(2 * (count * scale + 1) / (count**2 * scale) * np.log(np.sqrt(count * scale + 1) / error)))
