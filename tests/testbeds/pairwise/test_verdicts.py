"""When a pair is called derived: at Holm's p, and nearer than every stranger."""

import pandas as pd
import pytest

from experiments.testbeds.pairwise import verdicts

LEVEL = 0.05


def judged(names, near, strangers, makes=None):
    """The row of the first two names, whose distance is `near`; strangers are as far from all names as said.

    All are of one make but those that `makes` has.
    """
    far = {f"s{number}": distance for number, distance in enumerate(strangers)}
    everybody = [*names, *far]
    square = pd.DataFrame(0.9, everybody, everybody)
    for name, distance in far.items():
        for other in names:
            square.loc[name, other] = square.loc[other, name] = distance
    first, second = names[:2]
    square.loc[first, second] = square.loc[second, first] = near
    makes = dict.fromkeys(everybody, "one") | (makes or {})
    return verdicts.judged(square, list(names), list(far), LEVEL, makes).loc[(first, second)]


def test_a_p_value_that_is_at_the_level_for_one_pair_is_not_enough_among_three():
    strangers = [0.8, 0.85, 0.9, 0.9, 0.95, 1.0]
    alone, among = (judged(names, 0.73, strangers) for names in ("ab", "abc"))
    assert among["p_holm"] == pytest.approx(3 * among["p"])
    assert among["p"] < LEVEL < among["p_holm"]
    assert (alone["verdict"], among["verdict"]) == ("derived", "not told apart")


def test_a_pair_beyond_the_nearest_stranger_is_not_derived_however_small_its_p_value_is():
    strangers = [0.5] + 10 * [0.99, 1.0, 1.01]
    nearer, farther = (judged("ab", near, strangers) for near in (0.45, 0.55))
    assert nearer["p_holm"] < farther["p_holm"] < LEVEL
    assert (nearer["verdict"], farther["verdict"]) == ("derived", "not told apart")


def test_two_of_one_make_are_held_against_strangers_of_that_make_alone():
    strangers = [0.5, 0.52, 0.54, *(20 * [0.98, 1.0])]
    others = {f"s{number}": "another" for number in range(3, len(strangers))}
    alike, mixed = (judged("ab", 0.47, strangers, others | own) for own in ({}, {"b": "another"}))
    assert (alike["verdict"], mixed["verdict"]) == ("not told apart", "derived")
    assert alike["p_rank"] == 0.25
    assert judged("ab", 0.3, strangers, others)["verdict"] == "derived"


def test_two_of_one_make_with_two_strangers_of_that_make_have_no_verdict():
    row = judged("ab", 0.1, 6 * [0.9, 1.0], {f"s{number}": "another" for number in range(2, 12)})
    assert row.isna().all()
