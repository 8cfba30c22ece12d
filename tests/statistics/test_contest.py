"""Paired differences of AUCs over zoos."""

import numpy as np
import pytest

from experiments.statistics.contest import Sides, paired_difference
from experiments.statistics.intervals import auc


def zoo(seed, shift):
    random = np.random.default_rng(seed)
    return Sides(random.normal(size=12), random.normal(shift, size=15))


def test_the_difference_is_that_of_mean_aucs():
    ours, theirs = [zoo(0, 2.0), zoo(1, 2.0)], [zoo(2, 1.0), zoo(3, 0.5)]
    wanted = np.mean([auc(*one).value for one in ours]) - np.mean([auc(*one).value for one in theirs])
    found = paired_difference(ours, theirs, draws=500)
    assert found.value == pytest.approx(wanted)
    assert found.low < found.value < found.high


def test_what_both_methods_share_drops_out():
    ours = [zoo(seed, 1.0) for seed in range(4)]
    shifted = [Sides(one.near * 3 + 1, one.far * 3 + 1) for one in ours]
    assert paired_difference(ours, shifted, draws=200)[:3] == (0, 0, 0)
    assert paired_difference(ours, shifted, draws=200).p == 1


def test_a_method_that_wins_everywhere_has_a_small_p_and_exchanging_both_turns_the_sign():
    ours, theirs = [zoo(seed, 3.0) for seed in range(5)], [zoo(seed + 9, 0.0) for seed in range(5)]
    found, turned = paired_difference(ours, theirs, draws=999), paired_difference(theirs, ours, draws=999)
    assert found.p == pytest.approx(2 / 1000)
    assert found.low > 0
    assert turned.value == pytest.approx(-found.value)


def test_the_interval_of_the_null_covers_it_about_as_often_as_it_says():
    inside = 0
    for trial in range(60):
        one, other = ([zoo(100 * trial + 10 * side + z, 1.0) for z in range(8)] for side in (0, 1))
        found = paired_difference(one, other, draws=300, seed=trial)
        inside += found.low <= 0 <= found.high
    assert inside >= 50


def test_unequal_zoos_are_refused():
    with pytest.raises(ValueError, match="1 and 2 zoos cannot be paired"):
        paired_difference([zoo(0, 1)], [zoo(0, 1)] * 2)
    with pytest.raises(ValueError, match="the same models"):
        paired_difference([zoo(0, 1)], [Sides(np.zeros(3), np.zeros(15))])
