"""How often somebody independent would be as near: conformal p-values, and what asking many times costs."""

import numpy as np
import pandas as pd


def p_values(units: pd.Series, strangers: pd.Series) -> pd.Series:
    """Conformal p-values (Vovk, Gammerman and Shafer, 2005): how often an independent model would be as near.

    (1 + strangers at least as near) / (1 + strangers), from 1 / (1 + strangers) to 1. Where suspects that are
    independent and the strangers are exchangeable, a p of at most a rate comes up at most at that rate.

    >>> p_values(pd.Series({"near": -3.0, "far": 1.0}), pd.Series([0.0, 1.0, 2.0])).to_dict()
    {'near': 0.25, 'far': 0.75}
    """
    near = np.searchsorted(np.sort(strangers.to_numpy(float)), units.to_numpy(float), side="right")
    return pd.Series((1 + near) / (1 + len(strangers)), index=units.index)


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
