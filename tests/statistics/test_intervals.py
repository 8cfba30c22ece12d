import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.statistics.intervals import (
    auc,
    clustered_auc,
    margin,
    mean,
    prediction_bound,
    proportion,
    spearman,
    tpr_at_fpr,
)

distances = st.lists(st.floats(0, 1), min_size=1, max_size=12)


@given(distances, distances)
@settings(derandomize=True, deadline=None, max_examples=100)
def test_auc_is_the_share_of_pairs_in_the_right_order(related, unrelated):
    pairs = [(a < b) + 0.5 * (a == b) for a in related for b in unrelated]
    estimate = auc(related, unrelated)
    assert estimate.value == pytest.approx(np.mean(pairs))
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1


def test_a_perfect_auc_still_has_an_interval_that_narrows_with_the_number_of_models():
    few, many = (auc(np.zeros(n), np.ones(n)) for n in (5, 50))
    assert few.value == many.value == 1
    assert few.low < many.low < 1


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    random = np.random.default_rng(0)
    truth = 0.7602  # P(N(0, 1) < N(1, 1)) = Phi(1 / sqrt 2)
    estimates = [auc(random.normal(0, 1, 15), random.normal(1, 1, 15)) for _ in range(400)]
    assert 0.92 < np.mean([estimate.low <= truth <= estimate.high for estimate in estimates]) < 0.99


def test_clopper_pearson_of_twenty_hits_in_twenty_starts_at_083():
    assert proportion(20, 20).low == pytest.approx(0.8316, abs=1e-4)


def test_the_threshold_lets_no_more_unrelated_models_through_than_allowed():
    unrelated = np.arange(20) / 20
    assert tpr_at_fpr([0.01, 0.2], unrelated, 0.05).value == 0.5
    assert tpr_at_fpr([-0.01, 0.2], unrelated, 0.01).value == 0.5
    assert tpr_at_fpr([0.0, 0.2], unrelated, 0.01).value == 0


def test_margin_is_positive_only_if_one_threshold_separates_everything():
    assert margin([0.1, 0.2], [0.5, 0.9]) == pytest.approx(0.3)
    assert margin([0.1, 0.6], [0.5, 0.9]) < 0


def test_a_prediction_bound_is_for_one_more_draw_of_a_normal_of_unknown_spread():
    assert prediction_bound([1.0, 2.0, 3.0]) == pytest.approx(5.37171, abs=1e-4)  # 2 + 2.91999 * 1 * sqrt(4 / 3)


def test_the_interval_of_a_mean_is_students_and_leaves_out_what_is_not_there():
    expected = pytest.approx((2, -0.48414, 4.48414), abs=1e-4)  # 2 -+ 4.30265 * 1 / sqrt(3)
    assert mean([1.0, 2.0, 3.0]) == expected
    assert mean([1.0, np.nan, 2.0, 3.0]) == expected


def test_a_mean_of_answers_that_all_agree_leaves_open_what_more_images_might_say():
    assert mean([0.0] * 24, shares=True) == pytest.approx((0, 0, 1 - 0.025 ** (1 / 24)))
    assert mean([1.0, 1.0, np.nan, 0.0], shares=True) == proportion(2, 3)
    assert mean([0.0] * 24) == (0, 0, 0)


def test_an_auc_without_models_on_one_side_is_refused():
    with pytest.raises(ValueError, match="0 related and 1 unrelated"):
        auc([], [1.0])


def test_an_auc_over_zoos_is_their_mean_and_widens_where_they_differ():
    draw = np.random.default_rng(0)
    zoos = [(draw.normal(0, 1, 8), draw.normal(1, 1, 8)) for _ in range(5)]
    found = clustered_auc(zoos)
    assert found.value == pytest.approx(np.mean([auc(*zoo).value for zoo in zoos]))
    assert found.low < found.value < found.high
    alike, apart = clustered_auc([zoos[0]] * 4), clustered_auc([zoos[0], zoos[0], ([9.0] * 8, [1.0] * 8), zoos[0]])
    assert apart.high - apart.low > alike.high - alike.low
    assert clustered_auc(zoos) == found


def test_an_auc_over_zoos_counts_ties_half_and_needs_models_everywhere():
    assert clustered_auc([([1.0, 1.0], [1.0])]).value == 0.5
    for zoos in ([], [([1.0], [])]):
        with pytest.raises(ValueError, match="models on both sides"):
            clustered_auc(zoos)


def test_an_auc_over_zoos_is_never_surer_than_over_as_many_models_without_zoos():
    zoos = [([0.1, 0.2, 0.3], [0.7, 0.8])] * 2
    found, together = clustered_auc(zoos), auc([0.1, 0.2, 0.3] * 2, [0.7, 0.8] * 2)
    assert found == together
    assert found.low < found.value == 1


@pytest.mark.parametrize("sign", [1, -1])
def test_a_perfect_rank_correlation_has_an_interval_that_ends_at_it_and_narrows_with_the_pairs(sign):
    few, many = (spearman(np.arange(n), sign * np.arange(n)) for n in (6, 40))
    for found in (few, many):
        assert found.value == sign
        assert sign in (found.low, found.high)
        assert found.low < found.high
    assert many.high - many.low < 0.1 * (few.high - few.low)


def test_the_interval_of_a_rank_correlation_widens_on_the_way_down_from_one():
    ranks = np.arange(12)
    swapped = ranks.copy()
    swapped[[5, 6]] = swapped[[6, 5]]
    perfect, nearly = spearman(ranks, ranks), spearman(ranks, swapped)
    assert nearly.low < perfect.low
    assert nearly.value < nearly.high < 1
