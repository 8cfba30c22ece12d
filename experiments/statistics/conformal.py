"""How often somebody independent would be as near, by few or many strangers, and what asking many times costs."""

import numpy as np
import pandas as pd

NOTHING = 1e-6
"""Of numbers' size: a spread that rounding alone may leave, distances being of single precision."""


def p_values(units: pd.Series, strangers: pd.Series) -> pd.Series:
    """Conformal p-values (Vovk, Gammerman and Shafer, 2005): how often an independent model would be as near.

    (1 + strangers at least as near) / (1 + strangers), from 1 / (1 + strangers) to 1. Where suspects that are
    independent and the strangers are exchangeable, a p of at most a rate comes up at most at that rate.

    >>> p_values(pd.Series({"near": -3.0, "far": 1.0}), pd.Series([0.0, 1.0, 2.0])).to_dict()
    {'near': 0.25, 'far': 0.75}
    """
    near = np.searchsorted(np.sort(strangers.to_numpy(float)), units.to_numpy(float), side="right")
    return pd.Series((1 + near) / (1 + len(strangers)), index=units.index)


def normal_p_values(units: pd.Series, strangers: pd.Series) -> pd.Series:
    """How often an independent model would be as near, if such distances are normal: for few strangers.

    Student's prediction of one more draw (Geisser, Predictive Inference, 1993, section 2.1.1). Three strangers can say
    little by rank, where no p-value is below 1 / 4. Strangers that are all equally far, but for what rounding leaves,
    have no spread to predict from: conformal p-values then.

    >>> normal_p_values(pd.Series({"near": 0.1, "far": 0.8}), pd.Series([0.7, 0.8, 0.9])).round(3).to_dict()
    {'near': 0.013, 'far': 0.5}
    """
    from scipy.stats import t  # only here: finished runs do without

    count, spread = len(strangers), strangers.std(ddof=1)
    if not spread > NOTHING * strangers.abs().max():
        return p_values(units, strangers)
    away = (units - strangers.mean()) / (spread * np.sqrt(1 + 1 / count))
    return pd.Series(t.cdf(away, count - 1), index=units.index)


def holm(p: pd.Series) -> pd.Series:
    """p-values of many suspects, adjusted (Holm, 1979).

    Whoever accuses all that are at most at a rate accuses any stranger at all at most at that rate. With few held-out
    models nobody can be accused among many: no p-value is below 1 / (1 + strangers).

    >>> holm(pd.Series([0.01, 0.04, 0.03])).tolist()
    [0.03, 0.06, 0.06]
    """
    order = p.to_numpy().argsort(kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(p.to_numpy()[order] * np.arange(len(p), 0, -1)).clip(max=1)
    return pd.Series(adjusted, index=p.index)
