"""Units of held-out models' spread, and conformal p-values that come up as often as they say."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from experiments.statistics.conformal import holm, p_values
from experiments.testbeds.ip_protection.calibration import (
    conformal_p_values,
    false_discoveries,
    in_units,
    unseen_p_values,
)

BOTH = ("task", "architecture")


def models(distances, task="digits", architecture="plain"):
    return pd.DataFrame({"distance": distances, "task": task, "architecture": architecture}, dtype=object)


def test_units_are_the_mean_and_standard_deviation_of_the_suspects_peers():
    known = models([1.0, 2.0, 2.0, 3.0])
    other = models([10.0, 20.0, 20.0, 30.0], architecture="other")
    peers = pd.concat([known, other], ignore_index=True)
    suspects = pd.concat([models([0.0]), models([0.0], architecture="other")]).set_axis(["one", "two"])
    assert in_units(suspects, peers, within=BOTH).tolist() == pytest.approx([-(6**0.5)] * 2)
    assert in_units(suspects, peers, within=("task",)).nunique() == 1


@pytest.mark.parametrize("few", [2, 3])
def test_an_architecture_with_few_held_out_models_takes_those_of_the_task_for_these_and_for_suspects(few):
    peers = models(np.arange(few) + 9.0, architecture="rare")
    peers = pd.concat([models([1.0, 2.0, 3.0, 4.0]), peers], ignore_index=True)
    rare = models([5.0], architecture="rare").set_axis(["suspect"])
    for told in (rare, peers.tail(few)):
        assert in_units(told, peers, within=BOTH).tolist() == in_units(told, peers, within=("task",)).tolist()


def test_a_held_out_model_is_no_peer_of_its_own():
    peers = models([1.0, 2.0, 3.0, 100.0])
    assert in_units(peers, peers, within=BOTH)[3] == 98.0


def test_peers_without_spread_leave_differences_as_they_are():
    suspects = models([0.5, 2.0]).set_axis(["one", "two"])
    assert in_units(suspects, models([0.5] * 3), within=BOTH).tolist() == [0.0, 1.5]


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.3])
def test_independent_models_are_accused_at_most_at_the_stated_rate(rate):
    random = np.random.default_rng(0)
    accused = [
        float((p_values(pd.Series(drawn[:20]), pd.Series(drawn[20:])) <= rate).mean())
        for drawn in random.exponential(size=(2000, 59))
    ]
    assert rate - 0.03 < np.mean(accused) < rate + 0.01


@pytest.mark.parametrize("peers", [4, 8])
def test_few_peers_keep_the_rate_in_families_at_different_distances(peers):
    random, accused = np.random.default_rng(1), []
    for _ in range(60):
        held_out, strangers = (
            pd.concat([models(random.normal(at, at / 10, count), architecture=f"{at}") for at in range(1, 13)])
            for count in (peers, 4)
        )
        held_out, strangers = held_out.reset_index(drop=True), strangers.set_axis([f"s{n}" for n in range(48)])
        accused.append(float((conformal_p_values(strangers, held_out, within=BOTH) <= 0.1).mean()))
    assert 0.07 < np.mean(accused) < 0.11


def test_a_held_out_model_and_a_suspect_that_lie_as_far_out_by_their_own_peers_are_level():
    held_out = models([-1.0, 0.0, 1.0, 10.0])
    # Of three at -1, 0, 1 the next is at 10 as often as it is at 10.6 of four with the mean 2.5 and their spread.
    level = 2.5 + np.std([-1, 0, 1, 10], ddof=1) * np.sqrt(5 / 4) * t.ppf(t.cdf(10 / np.sqrt(4 / 3), 2), 3)
    suspects = models([level - 0.1, level + 0.1]).set_axis(["nearer", "farther"])
    assert conformal_p_values(suspects, held_out, within=BOTH).tolist() == [4 / 5, 1]


def test_an_unseen_family_is_held_against_the_others_alone_in_units_of_its_task():
    far = models([10.0, 20.0, 30.0, 40.0], architecture="far")
    held_out = pd.concat([models([1.0, 2.0, 3.0, 4.0]), far], ignore_index=True)
    suspects = pd.concat([models([-20.0, 5.0]), models([2.5], architecture="far"), models([25.0], architecture="new")])
    suspects = suspects.set_axis(["plain near", "plain far", "far", "new"])
    found = unseen_p_values(suspects, held_out)
    # In units of the three others, the stranger at 10 lies as far out as a suspect at 5 does in units of all four.
    assert found.to_dict() == pytest.approx({"plain near": 1 / 5, "plain far": 2 / 5, "far": 3 / 5, "new": 7 / 9})
    moved = held_out.assign(distance=held_out["distance"] + 100 * (held_out["architecture"] == "plain"))
    assert unseen_p_values(suspects, moved)["plain near"] == found["plain near"]


def test_an_unseen_family_beside_too_few_others_says_nothing():
    few = pd.concat([models([1.0, 2.0, 3.0]), models([4.0, 5.0], architecture="rare")], ignore_index=True)
    suspects = pd.concat([models([0.0]), models([0.0], architecture="rare")]).set_axis(["plain", "rare"])
    assert unseen_p_values(suspects, few).isna().to_dict() == {"plain": True, "rare": False}
    other_task = pd.concat([few, models([1.0, 2.0], task="turned")], ignore_index=True)
    assert unseen_p_values(suspects, other_task).isna().all()


def test_independent_models_of_unseen_families_that_are_like_the_others_are_accused_at_most_at_the_stated_rate():
    random, found = np.random.default_rng(2), []
    for _ in range(100):
        held_out = pd.concat([models(random.normal(5, 1, 10), architecture=one) for one in "abc"], ignore_index=True)
        strangers = models(random.normal(5, 1, 20), architecture="a").set_axis([f"s{number}" for number in range(20)])
        found.append(unseen_p_values(strangers, held_out))
    for rate in (0.05, 0.2):
        assert rate - 0.04 < np.mean([p <= rate for p in found]) < rate + 0.02


def drawn(random, copies):
    """p-values of some copies, far nearer than 99 held-out models, and of 20 strangers like them."""
    held_out, strangers = random.normal(size=99), random.normal(size=20)
    return p_values(pd.Series([*(-9.0 - np.arange(copies)), *strangers]), pd.Series(held_out))


def test_among_many_suspects_any_stranger_is_accused_at_most_at_the_stated_rate():
    random = np.random.default_rng(3)
    accused = [bool((holm(drawn(random, copies=0)) <= 0.2).any()) for _ in range(600)]
    assert 0.1 < np.mean(accused) < 0.22


def test_of_those_accused_at_most_the_stated_share_are_strangers_and_copies_are_found_where_holm_finds_none():
    random, shares, found = np.random.default_rng(4), [], []
    for _ in range(300):
        p = drawn(random, copies=20)
        accused = false_discoveries(p) <= 0.05
        shares.append(accused[20:].sum() / max(1, accused.sum()))
        found.append(accused[:20].mean())
        assert not (holm(p) <= 0.05).any()
    assert np.mean(shares) < 0.05
    assert np.mean(found) == 1
