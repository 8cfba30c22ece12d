import warnings
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau, pearsonr

from experiments.statistics import ranking

seeds = st.integers(0, 2**32 - 1)
some = settings(derandomize=True, deadline=None, max_examples=15)


def random(seed, tasks=7):
    values = np.random.default_rng(seed).random((tasks, tasks))
    names = [f"task {number}" for number in range(tasks)]
    return pd.DataFrame(values, names, names)


def by_hand():
    """Sources of a, b, c, d in truth: a is served by d, c, b, in this order; b by a, c, d; and so on."""
    truth = pd.DataFrame([[9, 3, 3, 1], [1, 9, 2, 2], [2, 2, 9, 3], [3, 1, 1, 9]], [*"abcd"], [*"abcd"], dtype=float)
    return -truth, truth


def test_the_truth_itself_scores_one_and_its_negative_minus_one():
    distance, truth = by_hand()
    for diagonal in (True, False):
        assert (ranking.column_correlation(distance, truth, diagonal=diagonal) == 1).all()
        assert (ranking.column_correlation(-distance, truth, diagonal=diagonal) == -1).all()


def test_a_swap_of_two_sources_costs_what_spearmans_formula_says():
    distance, truth = by_hand()
    distance.loc[["c", "d"], "a"] = distance.loc[["d", "c"], "a"].to_numpy()
    assert ranking.column_correlation(distance, truth, diagonal=False)["a"] == pytest.approx(1 - 6 * 2 / (3 * 8))
    assert ranking.column_correlation(distance, truth, diagonal=True)["a"] == pytest.approx(1 - 6 * 2 / (4 * 15))


def test_precision_counts_the_nearest_sources_among_the_best_ones():
    distance, truth = by_hand()
    distance.loc[["b", "d"], "a"] = distance.loc[["d", "b"], "a"].to_numpy()  # now b, c, d instead of d, c, b
    assert ranking.precision_at_k(distance, truth, 1, relevant=1).to_dict() == {"a": 0, "b": 1, "c": 1, "d": 1}
    assert ranking.precision_at_k(distance, truth, 2, relevant=2)["a"] == 0.5
    assert ranking.precision_at_k(distance, truth, 2, relevant=1)["b"] == 0.5
    assert (ranking.precision_at_k(distance, truth, 5) == 1).all()


@given(seeds)
@some
def test_monotone_transforms_change_neither_rank_correlations_nor_precisions(seed):
    distance, truth = random(seed), random(seed + 1)
    stretched = distance**3 + 5, np.exp(10 * truth)
    for diagonal in (True, False):
        before, after = (
            ranking.column_correlation(*tables, diagonal=diagonal) for tables in ((distance, truth), stretched)
        )
        assert after.equals(before)
    assert ranking.precision_at_k(*stretched, 3).equals(ranking.precision_at_k(distance, truth, 3))
    assert ranking.mantel(*stretched, permutations=99) == ranking.mantel(distance, truth, permutations=99)


@given(seeds)
@some
def test_the_order_of_the_tasks_does_not_matter(seed):
    distance, truth = random(seed).round(1), random(seed + 1)  # rounded: ties, too, must not depend on the order
    mixed = distance.sample(frac=1, random_state=seed), truth.sample(frac=1, axis=1, random_state=seed)
    for statistic in (kendalltau, pearsonr):
        before, after = (
            ranking.column_correlation(*tables, diagonal=False, statistic=statistic)
            for tables in ((distance, truth), mixed)
        )
        assert after[before.index].to_numpy() == pytest.approx(before.to_numpy(), nan_ok=True)
    before, after = (ranking.precision_at_k(*tables, 2) for tables in ((distance, truth), mixed))
    assert after[before.index].equals(before)


def test_the_diagonal_flatters_a_random_distance():
    scores = {True: [], False: []}
    for seed in range(40):
        half, own = random(seed, 17), np.eye(17, dtype=bool)
        distance, truth = (half + half.T).mask(own, -1), random(seed + 1000, 17).mask(own, 2)
        for diagonal, found in scores.items():
            found.append(ranking.column_correlation(distance, truth, diagonal=diagonal).mean())
    assert np.mean(scores[True]) == pytest.approx(0.17, abs=0.03)
    assert np.mean(scores[False]) == pytest.approx(0, abs=0.03)


def test_a_constant_column_has_no_correlation_and_no_warning():
    distance, truth = by_hand()
    distance["b"] = 0.5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = ranking.column_correlation(distance, truth, diagonal=True)
        assert ranking.mantel(distance * 0, truth) == 1
    assert found.isna().to_dict() == {"a": False, "b": True, "c": False, "d": False}
    assert ranking.over_targets(found).value == 1


def test_tables_of_different_tasks_are_refused_with_their_names():
    distance, truth = by_hand()
    with pytest.raises(ValueError, match=r"only affinity's rows have \[e\], only distance's rows have \[d\]"):
        ranking.check(distance, truth.rename(index={"d": "e"}, columns={"d": "e"}))
    with pytest.raises(ValueError, match=r"only distance's columns have \[\], only distance's rows have \[d\]"):
        ranking.check(distance.drop(columns="d"), truth)
    with pytest.raises(ValueError, match="distance's rows repeat the task a"):
        ranking.check(pd.concat([distance, distance.loc[["a"]]]), truth)


def test_fewer_than_four_tasks_and_broken_values_are_refused():
    distance, truth = by_hand()
    with pytest.raises(ValueError, match="at least four tasks, not 3"):
        ranking.column_correlation(distance.iloc[:3, :3], truth.iloc[:3, :3], diagonal=True)
    with pytest.raises(ValueError, match="affinity from b to c is not finite"):
        ranking.mantel(distance, truth.replace({"c": {2.0: np.nan}}))
    with pytest.raises(ValueError, match="k must be at least 1, not 0"):
        ranking.precision_at_k(distance, truth, 0)


def test_the_bootstrap_covers_the_mean_about_as_often_as_it_says():
    generator = np.random.default_rng(0)
    found = [ranking.over_targets(pd.Series(generator.normal(0.5, 0.2, 17)), draws=500) for _ in range(300)]
    # Percentile intervals of 17 values are known to be a little narrow.
    assert 0.88 < np.mean([low <= 0.5 <= high for _, low, high in found]) < 0.98


def test_a_mean_of_one_target_is_refused():
    with pytest.raises(ValueError, match="1 of 3 have one"):
        ranking.over_targets(pd.Series([0.5, np.nan, np.nan]))


def test_five_targets_of_one_sign_have_the_exact_p_of_two_in_thirty_two():
    a, b = pd.Series([0.9, 0.8, 0.7, 0.6, 0.5, np.nan]), pd.Series([0.1, 0.1, 0.2, 0.3, 0.4, 0.9])
    there, back = ranking.paired_difference(a, b), ranking.paired_difference(b, a)
    assert there.p == back.p == pytest.approx(2 / 32)
    assert there.value == pytest.approx(0.48)
    assert [back.value, back.low, back.high] == pytest.approx([-there.value, -there.high, -there.low])
    assert ranking.paired_difference(a, a).p == 1


def test_a_difference_between_other_targets_is_refused():
    with pytest.raises(ValueError, match="only one side has depth, edges"):
        ranking.paired_difference(pd.Series({"depth": 1.0, "sky": 1.0}), pd.Series({"edges": 1.0, "sky": 1.0}))


def test_holm_by_hand():
    p_values = pd.Series({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005, "e": np.nan})
    assert ranking.holm(p_values).to_dict() == pytest.approx(
        {"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02, "e": np.nan}, nan_ok=True
    )
    assert ranking.holm(pd.Series([0.5, 0.9])).tolist() == [1, 1]


def test_mantel_of_the_truth_itself_is_as_small_as_it_can_be():
    truth = random(0, 12)
    assert ranking.mantel(-truth, truth, permutations=999) == 1 / 1000
    assert ranking.mantel(truth, truth, permutations=999) > 0.99


def test_mantel_of_unrelated_tables_is_uniform():
    found = np.array([ranking.mantel(random(seed), random(seed + 500), permutations=99) for seed in range(400)])
    for level in (0.05, 0.25, 0.5, 0.75):
        assert np.mean(found <= level) == pytest.approx(level, abs=3.5 * np.sqrt(level * (1 - level) / 400))


def test_mantel_relabels_the_mean_column_correlation():
    distance, truth = random(3, 5), random(4, 5)

    def score(order):
        relabelled = distance.iloc[list(order), list(order)].set_axis(distance.index).set_axis(distance.index, axis=1)
        return ranking.column_correlation(relabelled, truth, diagonal=False).mean()

    observed = score(range(5))
    exact = np.mean([score(order) >= observed - 1e-9 for order in permutations(range(5))])
    assert ranking.mantel(distance, truth, permutations=20_000) == pytest.approx(exact, abs=0.015)
