"""What the recorded comparisons of pairwise say of models whose kin is known."""

import pytest
from conftest import ROOT
from scipy.cluster.hierarchy import cut_tree

from experiments.pages import sweep
from experiments.testbeds.pairwise import page, pictures

RECORDED = ROOT / "results" / "recorded"
SAME = 1e-6


@pytest.fixture(scope="module")
def default():
    return page.compared(sweep.experiment("pairwise", RECORDED))


@pytest.fixture(scope="module")
def digits():
    return page.compared(sweep.experiment("pairwise_digits", RECORDED))


def test_every_method_of_both_experiments_is_recorded(default, digits):
    assert default.keys() == digits.keys()
    assert len(default) == 7


@pytest.mark.parametrize("method", ["ModelGiF", "Path potential", "CKA, debiased"])
def test_the_default_shows_a_tree_that_groups_a_copy_with_its_original(method, default):
    square = pictures.comparable(default[method].square)
    (groups,) = cut_tree(pictures.joined(square), n_clusters=3).T
    grouped = dict(zip(pictures.short(square.index), groups, strict=True))
    assert grouped["copied"] == grouped["original"]
    assert len(set(grouped.values())) == 3


def test_models_are_at_no_distance_from_themselves(default, digits):
    for one in [*default.values(), *digits.values()]:
        assert all(abs(one.square.loc[name, name]) < SAME for name in one.square.index)


def test_fields_call_a_fine_tuned_copy_derived_and_hardly_ever_accuse_a_stranger(digits):
    pairs = digits["ModelGiF"].pairs
    assert pairs.loc[("finetune_a-repvgg-0", "victim-repvgg-0"), "verdict"] == "derived"
    runs = sweep.experiment("pairwise_digits", RECORDED).rows()["ModelGiF"]
    assert runs[0].record["metrics"]["accused_strangers"] <= runs[0].config["testbed"]["level"]
