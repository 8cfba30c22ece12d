"""The unlearning testbed on tiny networks: oracle distances, roles, what is counted and what is refused."""

from dataclasses import replace
from functools import partial
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from torch import nn

from experiments.interfaces import POOLS
from experiments.measure import measure
from experiments.statistics.intervals import prediction_bound
from experiments.storage.tables import written
from experiments.testbeds.unlearning.samples import forgotten_toy
from experiments.testbeds.unlearning.testbed import HIDDEN, SEEN, SHADOW

TOY = ["testbed=unlearning", "testbed/zoo=toy_forgetting", "testbed.budget=8"]


@pytest.fixture
def testbed(config):
    return instantiate(config(*TOY)["testbed"], _convert_="all")


def oracle(testbed, references=16):
    """Distances that know every role: retrained models are near each other and far from the reference."""
    forgotten = {*testbed.forgotten, "retrain_calibrate"}
    rows = []
    for pair in testbed.pairs():
        same = len({testbed.zoo[name].role in forgotten for name in pair}) == 1
        rows.append(np.full(references, 0.1 if same else 0.9))
    index = pd.MultiIndex.from_tuples(testbed.pairs(), names=["source", "target"])
    return pd.DataFrame(rows, index=index) + np.random.default_rng(0).normal(0, 1e-3, (len(rows), references))


def test_distances_that_know_the_roles_score_perfectly(testbed):
    metrics = testbed.score(oracle(testbed)).metrics
    for reading in ("reference", "retrains", "relative"):
        assert metrics[f"auc/{reading}/all"] == 1
        assert metrics[f"auc/{reading}/all/low"] < 1
        assert metrics[f"tpr_at_5/{reading}/kept"] == 1
    assert metrics["believed/unrelated"] == 0
    assert metrics["dead_references"] == 0
    assert metrics["twins"] == 0


def test_a_verifier_that_cannot_tell_unrelated_models_from_retrained_ones_believes_few_of_either(testbed):
    random, found = np.random.default_rng(2), []
    for _ in range(20):
        table = oracle(testbed)
        table.loc[:] = random.normal(0.9, 0.01, (len(table), 1)) + np.zeros(table.shape)
        found.append(testbed.score(table).metrics)
    for role in ("unrelated", "retrain"):  # of equals the nearest of four, three of which calibrate and know
        assert np.mean([metrics[f"believed/{role}"] for metrics in found]) == pytest.approx(0.25, abs=0.15)
    assert testbed.score(oracle(testbed)).metrics["believed/retrain"] > 0.5
    assert {pair for pair in testbed.pairs() if testbed.zoo[pair[1]].role == "unrelated_calibrate"}


def test_models_that_are_equally_far_are_so_in_whatever_order_their_distances_are_summed(testbed):
    random, table = np.random.default_rng(0), oracle(testbed)
    table.loc[:] = random.permuted(np.tile(random.random(table.shape[1]), (len(table), 1)), axis=1)
    assert table.mean(axis=1).nunique() > 1
    metrics = testbed.score(table).metrics
    scores = {key: value for key, value in metrics.items() if key.startswith(("auc/", "order/"))}
    assert {value for key, value in scores.items() if not key.endswith(("/low", "/high"))} == {0.5}
    assert metrics["believed/retrain"] == 0  # no nearer than what is known to know


def test_distances_that_know_nothing_score_by_chance(testbed):
    random, aucs = np.random.default_rng(1), []
    for _ in range(12):
        table = oracle(testbed)
        table.loc[:] = random.permuted(table.to_numpy(), axis=0)
        aucs.append(testbed.score(table).metrics["auc/relative/all"])
    assert np.mean(aucs) == pytest.approx(0.5, abs=0.1)


def test_a_field_that_vanishes_certifies_nothing(testbed):
    table = oracle(testbed)
    zeroed = [pair for pair in testbed.pairs() if pair[1] == "head_zeroed-0"]
    table.loc[zeroed] = np.nan
    metrics = testbed.score(table).metrics
    assert metrics["dead_models"] == 1
    assert metrics["dead_references"] == table.shape[1] * len(zeroed)
    assert metrics["auc/reference/kept"] == 1  # not read as far away
    assert metrics["believed/head_zeroed"] == 0


def test_a_zeroed_head_is_dead_to_fields_and_the_measurement_goes_on(testbed, config):
    silent = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    nn.init.zeros_(silent[1].weight)
    zoo = dict(testbed.zoo)
    zoo["head_zeroed-0"] = replace(zoo["head_zeroed-0"], load=lambda: silent)
    dead = replace(testbed, zoo=zoo)
    method = instantiate(config(*TOY)["method"], _convert_="all")
    table, _ = measure(dead, method, torch.device("cpu"))
    assert dead.score(table).metrics["dead_models"] == 1


def test_a_calibrating_model_without_a_field_is_refused_by_name(testbed):
    table = oracle(testbed)
    table.loc[[pair for pair in testbed.pairs() if "retrain_calibrate-1" in pair]] = np.nan
    with pytest.raises(ValueError, match=r"no reference point is alive.*retrain_calibrate-1"):
        testbed.score(table)


def test_roles_that_calibrate_or_are_imitated_are_never_scored(testbed):
    assert not testbed.tested_roles & (SEEN | HIDDEN)
    scored = set(testbed.score(oracle(testbed)).matrices["suspects"]["role"])
    assert scored == testbed.tested_roles
    sources = {testbed.zoo[source].role for source, _ in testbed.pairs()}
    assert sources == {"reference", "rollback_reference", "retrain_calibrate"}
    assert not {testbed.zoo[target].role for _, target in testbed.pairs()} & HIDDEN


def test_shadows_of_an_unlearning_method_are_never_scored(testbed):
    zoo = dict(testbed.zoo)
    zoo["shadow_scrub-0"] = replace(zoo["finetune-0"], name="shadow_scrub-0", role=f"{SHADOW}scrub")
    more = replace(testbed, zoo=zoo)
    assert more.tested_roles == testbed.tested_roles
    assert more.pairs() == testbed.pairs()
    with pytest.raises(ValueError, match="no model that is scored has the role 'shadow_scrub'"):
        replace(more, kept=[*testbed.kept, "shadow_scrub"])


def test_a_rollback_is_compared_with_its_own_reference(testbed):
    sources = {source for source, target in testbed.pairs() if target == "rollback-0"}
    assert "rollback_reference" in sources
    assert "reference" not in sources


def test_of_copies_that_are_one_model_one_is_scored(testbed):
    zoo = dict(testbed.zoo)
    zoo["finetune-1"] = replace(zoo["finetune-1"], facts=zoo["finetune-0"].facts)
    report = replace(testbed, zoo=zoo).score(oracle(testbed))
    before = testbed.score(oracle(testbed))
    assert {*before.matrices["suspects"].index} - {*report.matrices["suspects"].index} == {"finetune-1"}
    assert report.metrics["twins"] == 1
    assert report.metrics["n_kept/judged"] == before.metrics["n_kept/judged"] - 1


def test_accuracy_on_a_class_leaves_nothing_unnoticed_where_no_class_is_forgotten(testbed):
    share = replace(testbed, pools=partial(forgotten_toy, label=None, share=0.1))
    assert "n_kept/unnoticed" in testbed.score(oracle(testbed)).metrics
    assert "n_kept/unnoticed" not in share.score(oracle(testbed)).metrics


def test_probes_come_from_the_named_pool(testbed):
    for pool in POOLS:
        found = replace(testbed, probes=pool).samples
        assert torch.equal(found.inputs, getattr(forgotten_toy(), pool).inputs)
    with pytest.raises(ValueError, match="probes must be one of"):
        replace(testbed, probes="validation")


def test_curves_follow_checkpoints_and_their_gaps_are_named(testbed):
    zoo = dict(testbed.zoo)
    for number in range(3):
        for epoch in (1, 2):
            name = f"retrain-{number}@{epoch}"
            zoo[name] = replace(zoo[f"retrain-{number}"], name=name, epoch=epoch)
    with pytest.raises(ValueError, match="retrain has checkpoints and does not tell of how many epochs"):
        replace(testbed, zoo=zoo)
    zoo |= {name: replace(model, epochs=7) for name, model in zoo.items() if model.role == "retrain"}
    whole = replace(testbed, zoo=zoo)
    report = whole.score(oracle(whole))
    metrics, curves = report.metrics, report.matrices["curves"]
    assert len(curves[curves["role"] == "retrain"]) == 3 * 3  # three models, two checkpoints and the end
    for (role, epoch), found in curves.groupby(["role", "epoch"]):
        assert metrics[f"curve/{role}/{epoch}"] == pytest.approx(found["distance"].mean())
    assert {key for key in metrics if key.startswith("curve/retrain")} == {f"curve/retrain/{at}" for at in (1, 2, 7)}
    assert set(curves.loc[~curves["model"].str.contains("@") & (curves["role"] == "retrain"), "epoch"]) == {7}
    assert "retrain-0@1" not in {name for pair in replace(whole, curves=False).pairs() for name in pair}
    del zoo["retrain-1@2"]
    with pytest.raises(ValueError, match=r"checkpoints of retrain have gaps.*retrain-1"):
        replace(testbed, zoo=zoo)


def test_too_few_retrained_models_are_no_distribution(testbed, config):
    zoo = {name: model for name, model in testbed.zoo.items() if name not in ("retrain-1", "retrain-2")}
    with pytest.raises(ValueError, match="a spread takes 2 models of role 'retrain' and 3 of"):
        replace(testbed, zoo=zoo)
    with pytest.raises(InstantiationException, match="retrains must be at least 3"):
        instantiate(config("testbed=unlearning", "testbed.zoo.retrains=1")["testbed"], _convert_="all")


def test_leakage_is_rank_correlated_with_a_distance_that_measures_it(testbed):
    suspects = testbed.score(oracle(testbed)).matrices["suspects"]
    table = oracle(testbed)
    for source, target in table.index:
        if target in suspects.index:
            table.loc[(source, target)] = suspects.loc[target, "leakage"]
    assert testbed.score(table).metrics["leakage_rank"] == pytest.approx(1)


def test_the_papers_order_is_of_retrained_beyond_unrelated_and_unrelated_beyond_approximate_models(testbed):
    table = oracle(testbed)
    for source, target in table.index:
        if source == "reference" and testbed.zoo[target].role == "approximate":
            table.loc[(source, target)] = 0.01
    metrics = testbed.score(table).metrics
    assert metrics["order/retrain_beyond_unrelated"] == metrics["order/unrelated_beyond_approximate"] == 1


def test_a_spread_is_predicted_from_each_calibrating_models_mean_distance_to_the_others(testbed):
    table = oracle(testbed)
    calibrating = [f"retrain_calibrate-{number}" for number in range(3)]
    for pair, distance in zip(combinations(calibrating, 2), (0.1, 0.2, 0.3), strict=True):
        table.loc[pair] = distance
    assert testbed.score(table).metrics["spread"] == written(prediction_bound([0.15, 0.2, 0.25]))


def test_leakage_is_the_mean_difference_from_the_usual_retrained_model_and_too_little_accuracy_goes_unnoticed(testbed):
    facts = {f"retrain_calibrate-{number}": {"log_odds": 2 * [1.0 + number]} for number in range(3)}
    facts |= {
        "unrelated-0": {"log_odds": [0.0, 5.0], "accuracy_forget_unseen": 0.05},
        "unrelated-1": {"accuracy_forget_unseen": 0.1},
    }
    accuracies = {f"accuracy_{pool}": 0.5 for pool in POOLS}
    zoo = {
        name: replace(model, facts=partial(dict, accuracies, **{"log_odds": [2.0, 2.0]} | facts.get(name, {})))
        for name, model in testbed.zoo.items()
    }
    report = replace(testbed, zoo=zoo).score(oracle(testbed))
    leakage = report.matrices["suspects"]["leakage"]
    assert leakage["unrelated-0"] == 2.5
    assert not leakage.drop("unrelated-0").any()
    assert report.metrics["leakage/unrelated"] == pytest.approx(2.5 / 3)
    assert report.metrics["n_kept/unnoticed"] == 1
    assert report.metrics["n_forgotten/unnoticed"] == report.metrics["n_forgotten/kept"] > 1
