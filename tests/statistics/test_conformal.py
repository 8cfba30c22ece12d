"""p-values against strangers, where strangers say little."""

import numpy as np
import pandas as pd
import pytest

from experiments.statistics.conformal import normal_p_values, p_values


@pytest.mark.parametrize(
    "strangers", [[0.3, 0.1 + 0.2, 0.3], list(np.float32([0.9, 0.9 + 6e-8, 0.9])), [0.0, 0.0, 0.0]]
)
def test_strangers_that_differ_by_rounding_alone_let_ranks_speak(strangers):
    near, held = pd.Series([-0.1, 2.0]), pd.Series(strangers, dtype=float)
    assert normal_p_values(near, held).tolist() == p_values(near, held).tolist() == [0.25, 1.0]
