"""IP protection on the toy zoo: oracle distances, shuffled ones, calibration."""

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
from conftest import TOY, options
from hydra.utils import instantiate

from experiments.statistics.intervals import auc
from experiments.storage.tables import as_written
from experiments.testbeds.ip_protection.copies import KINDS


@pytest.fixture
def testbed(config):
    return instantiate(config(*TOY)["testbed"], _convert_="all")


def oracle(testbed, near=0.1, far=0.9, references=16):
    """Distances that know every model's role."""
    rows = [
        np.full(references, near if testbed.zoo[target].role in testbed.attacks else far)
        for _, target in testbed.pairs()
    ]
    index = pd.MultiIndex.from_tuples(testbed.pairs(), names=["source", "target"])
    return pd.DataFrame(rows, index=index) + np.random.default_rng(0).normal(0, 1e-3, (len(rows), references))


def test_distances_that_know_the_roles_score_perfectly(testbed):
    metrics = testbed.score(oracle(testbed)).metrics
    for attack in [*testbed.attacks, "pooled"]:
        assert metrics[f"auc/{attack}"] == 1
        assert metrics[f"auc/{attack}/low"] < 1
        assert metrics[f"tpr_at_5/{attack}"] == 1
        assert metrics[f"margin/{attack}"] > 0
    assert metrics["dead_references"] == 0


def test_distances_that_know_nothing_score_by_chance(testbed):
    random = np.random.default_rng(1)
    aucs = []
    for _ in range(6):
        table = oracle(testbed)
        table.loc[:] = random.permuted(table.to_numpy(), axis=0)
        aucs.append(testbed.score(table).metrics["auc/mean"])
    assert np.mean(aucs) == pytest.approx(0.5, abs=0.05)


def test_reversed_distances_score_zero(testbed):
    assert testbed.score(oracle(testbed, near=0.9, far=0.1)).metrics["auc/pooled"] == 0


def test_dead_references_are_left_out_and_counted(testbed):
    table = oracle(testbed)
    table.iloc[0, :3] = np.nan
    metrics = testbed.score(table).metrics
    assert metrics["dead_references"] == 3
    assert metrics["auc/mean"] == 1


def test_every_budget_is_read_off_one_measurement(testbed):
    table = oracle(testbed)
    table.iloc[:, :4] = 0.5  # the first four reference points say nothing
    metrics = testbed.score(table).metrics
    assert metrics["auc_at_4/extract_l"] == 0.5
    assert metrics["auc_at_16/extract_l"] == 1


def test_what_the_pictures_need_is_in_the_matrices(testbed):
    table = oracle(testbed)
    report = testbed.score(table)
    suspects, curves = report.matrices["suspects"], report.matrices["curves"]
    means = table.mean(axis=1).droplevel("source")
    assert suspects["distance"].to_dict() == as_written(means[suspects.index]).to_dict()
    for attack, task in testbed.attacks.items():
        near = suspects[suspects["role"] == attack]
        far = suspects[suspects["role"].isin([f"{kind}_{task}" for kind in KINDS])]
        assert set(near["task"]) == set(far["task"]) == {task}
        estimate = auc(near["distance"].to_numpy(), far["distance"].to_numpy())
        assert report.metrics[f"auc/{attack}"] == estimate.value
        last = curves[(curves["attack"] == attack) & (curves["references"] == table.shape[1])].iloc[0]
        assert (last["value"], last["low"], last["high"]) == estimate


def test_a_method_without_reference_points_has_no_curve(testbed):
    report = testbed.score(oracle(testbed, references=1))
    assert list(report.matrices) == ["suspects"]


def test_roles_that_select_or_calibrate_are_never_scored(testbed):
    scored = {role for role in testbed.tested_roles if role.startswith(KINDS)} | set(testbed.attacks)
    kept = {
        model.role for model in testbed.zoo.values() if model.role.startswith(("held_out", "independent", "surrogate"))
    }
    assert len(kept) == 7
    assert not scored & kept
    met = {testbed.zoo[target].role for _, target in testbed.pairs()}
    assert met == scored | {role for role in kept if role.startswith("held_out")}
    table = oracle(testbed)
    moved = table.copy()
    moved.loc[[pair for pair in testbed.pairs() if testbed.zoo[pair[1]].role in kept]] += 0.3
    raw, other = testbed.score(table), testbed.score(moved)
    assert not set(raw.matrices["suspects"]["role"]) & kept
    calibrated = ("auc_by", "found", "alarms")
    assert {key: value for key, value in raw.metrics.items() if not key.startswith(calibrated)} == {
        key: value for key, value in other.metrics.items() if not key.startswith(calibrated)
    }


def of_another_family(testbed, shift):
    """Models numbered 1, and held-out ones beside them, are of another architecture, where distances are larger."""
    zoo = dict(testbed.zoo)
    for name, model in testbed.zoo.items():
        if name.endswith("-1"):
            zoo[name] = replace(model, architecture="other")
        if name.startswith("held_out"):
            zoo |= {f"{name}-{twin}": replace(model, name=f"{name}-{twin}", architecture="other") for twin in range(2)}
    testbed = replace(testbed, zoo=zoo)
    table = oracle(testbed)
    for pair in testbed.pairs():
        if zoo[pair[1]].architecture == "other":
            table.loc[[pair]] += shift
    return testbed, table


def test_calibration_by_architecture_removes_what_independent_models_of_an_architecture_share(testbed):
    metrics = testbed.score(oracle(testbed)).metrics
    assert metrics["auc_by_task/pooled"] == metrics["auc_by_architecture/pooled"] == 1
    testbed, table = of_another_family(testbed, shift=2.0)
    metrics = testbed.score(table).metrics
    assert metrics["auc/mean"] < 1
    assert metrics["auc_by_task/extract_l"] == metrics["auc/extract_l"] < 1
    for attack in (*testbed.attacks, "pooled"):
        assert metrics[f"auc_by_architecture/{attack}"] == 1


def test_strangers_of_a_nearer_family_are_accused_by_an_owner_who_has_not_seen_it_and_not_by_one_who_has(
    testbed, config
):
    assert not [key for key in testbed.score(oracle(testbed)).metrics if "unseen" in key]  # one family is all there is
    larger = instantiate(config(*TOY, "testbed.zoo.copies=6")["testbed"], _convert_="all")
    testbed, table = of_another_family(larger, shift=-0.6)
    report = testbed.score(table)
    assert report.metrics["alarms_at_10/pooled"] < 0.1
    strangers = report.matrices["suspects"].query("copy != copy")
    assert report.metrics["alarms_unseen_at_10/pooled"] == pytest.approx((strangers["architecture"] == "other").mean())
    assert report.metrics["found_unseen_at_10/pooled"] == 1


def test_calibration_by_task_changes_no_auc_within_a_task_but_what_is_pooled(testbed):
    table = oracle(testbed, near=0.4, far=0.6) + np.random.default_rng(3).normal(0, 0.3, (len(testbed.pairs()), 1))
    table.loc[[pair for pair in testbed.pairs() if pair[1].startswith("held_out_turned")]] += 5
    metrics = testbed.score(table).metrics
    for attack in testbed.attacks:
        assert metrics[f"auc/{attack}"] == metrics[f"auc_by_task/{attack}"]
    assert metrics["auc/pooled"] != metrics["auc_by_task/pooled"]


def test_whoever_is_nearer_than_every_held_out_model_is_accused_and_strangers_rarely_are(testbed):
    metrics = testbed.score(oracle(testbed)).metrics
    assert metrics["found_at_10/pooled"] == 1  # of nine held-out models, the nearest is at 1 / 10
    assert metrics["found_at_5/pooled"] == 0
    assert metrics["alarms_at_10/pooled"] < 0.3
    suspects = testbed.score(oracle(testbed)).matrices["suspects"]
    assert set(suspects.loc[suspects["role"].isin(testbed.attacks), "p"]) == {0.1}


def known(testbed, facts):
    """The testbed whose models say of themselves what `facts` says by name."""
    zoo = {
        name: replace(model, facts=partial(dict, model.facts(), **facts.get(name, {})))
        for name, model in testbed.zoo.items()
    }
    return replace(testbed, zoo=zoo)


def test_what_is_no_copy_is_scored_apart_and_moves_no_headline(testbed):
    dead, unlike = "finetune_a-0", "extract_l-1"
    testbed = known(testbed, {dead: {"accuracy": 0.05}, unlike: {"fidelity": 0.1}})
    table = oracle(testbed)
    for name in (dead, unlike):
        table.loc[("victim", name)] = 2.0  # farther than any stranger
    report = testbed.score(table)
    suspects = report.matrices["suspects"]
    assert list(suspects.index[suspects["copy"] == 0]) == [dead, unlike]
    assert (suspects["copy"] == 1).sum() == 3 * len(testbed.attacks) - 2
    for attack, name in (("finetune_a", dead), ("extract_l", unlike), ("pooled", None)):
        assert report.metrics[f"auc/{attack}"] == 1, name
        assert report.metrics[f"auc_not_copied/{attack}"] == 0
    assert report.metrics["n_not_copied/pooled"] == 2
    assert report.metrics["copy/finetune_a"] == pytest.approx(2 / 3)


def test_an_attack_that_copied_nothing_has_no_headline(testbed):
    testbed = known(testbed, {f"extract_p-{number}": {"fidelity": 0.05} for number in range(3)})
    metrics = testbed.score(oracle(testbed)).metrics
    assert "auc/extract_p" not in metrics
    assert metrics["auc_not_copied/extract_p"] == 1
    assert metrics["n_related/extract_p"] == 0


def test_a_copy_is_faithful_only_beside_matched_strangers_of_its_own_architecture(testbed):
    facts = {f"matched_original-{number}": {"fidelity": 0.5 + number / 10} for number in range(3)}
    judged = [
        known(testbed, facts | {"extract_l-0": {"fidelity": fidelity}}).score(oracle(testbed)).matrices["suspects"]
        for fidelity in (0.6, 0.61)  # the median, and above it
    ]
    assert [suspects.loc["extract_l-0", "copy"] for suspects in judged] == [0, 1]


def test_each_kind_of_strangers_is_told_from_copies_by_itself(testbed):
    table = oracle(testbed)
    for number in range(3):
        table.loc[("victim", f"matched_original-{number}")] = 0.0  # nearer than every copy
    metrics = testbed.score(table).metrics
    assert metrics["auc_matched/extract_l"] == 0
    assert metrics["auc_unrelated/extract_l"] == metrics["auc_same_images/extract_l"] == 1
    assert metrics["auc/extract_l"] == pytest.approx(2 / 3)
    assert "auc_matched/transfer_a" not in metrics


def test_over_all_attacks_a_kind_of_strangers_is_held_against_copies_of_its_own_task(testbed):
    table = oracle(testbed)
    for role in ("transfer_10c", "transfer_a", "transfer_l"):
        for number in range(3):
            table.loc[("victim", f"{role}-{number}")] = 2.0  # farther than any stranger
    metrics = testbed.score(table).metrics
    assert metrics["auc/pooled"] == pytest.approx(6 / 9)
    for kind in ("unrelated", "matched", "same_images", "architecture"):
        assert metrics[f"auc_{kind}/pooled"] == 1


def test_models_of_which_nothing_is_known_are_scored_and_counted(testbed):
    testbed = known(testbed, {"finetune_a-0": {"accuracy": float("nan")}})
    metrics = testbed.score(oracle(testbed)).metrics
    assert metrics["n_unknown/finetune_a"] == metrics["n_unknown/pooled"] == 1
    assert metrics["n_related/finetune_a"] == 3


def test_derived_attacks_are_told_from_strangers_of_the_victims_architecture_alone(testbed):
    zoo = dict(testbed.zoo)
    for number in (1, 2):
        zoo[f"unrelated_original-{number}"] = replace(zoo[f"unrelated_original-{number}"], architecture="other")
    testbed, table = replace(testbed, zoo=zoo), oracle(testbed)
    table.loc[("victim", "unrelated_original-0")] = 0.0
    metrics = testbed.score(table).metrics
    assert metrics["auc_architecture/finetune_a"] == pytest.approx(6 / 7)
    assert metrics["auc/finetune_a"] == pytest.approx(8 / 9)
    assert "auc_architecture/extract_l" not in metrics


def test_calibration_without_held_out_peers_says_so(testbed):
    zoo = {
        name: model
        for name, model in testbed.zoo.items()
        if not (name.startswith("held_out_turned") and name != "held_out_turned-0")
    }
    with pytest.raises(ValueError, match="held_out_turned needs 3 models that show each other's spread, not 1"):
        replace(testbed, zoo=zoo)
    without = {name: model for name, model in zoo.items() if not name.startswith("held_out_turned")}
    with pytest.raises(ValueError, match="no model of the zoo has the role 'held_out_turned'"):
        replace(testbed, zoo=without)


def test_a_zoo_without_held_out_models_is_scored_the_same_and_calibrates_nothing(testbed):
    without = {name: model for name, model in testbed.zoo.items() if not model.role.startswith("held_out")}
    bare, table = replace(testbed, zoo=without), oracle(testbed)
    kept = table.loc[bare.pairs()]
    assert len(kept) == len(table) - 9
    raw, full = bare.score(kept), testbed.score(table)
    calibrated = ("auc_by", "found", "alarms")
    expected = {key: value for key, value in full.metrics.items() if not key.startswith(calibrated)}
    assert raw.metrics == pytest.approx(expected)
    assert len(full.metrics) > len(expected)
    extra = set(full.matrices["suspects"]) - set(raw.matrices["suspects"])
    assert extra == {"by_task", "by_architecture", "p", "p_unseen"}


def test_scoring_again_from_the_stored_distances_gives_the_same_metrics(testbed, tmp_path):
    from experiments.interfaces import Report
    from experiments.job import described
    from experiments.storage import record

    table = oracle(testbed).round(4)
    stored = described(table, testbed)
    method = {"_target_": "experiments.interfaces.Method"}
    settings = {"testbed": {}, "method": method, "seed": 0, "name": "x", "device": "cpu"}
    record.save(tmp_path, settings, stored, Report({}), 1.0, images="")
    again = record.distances(tmp_path)
    assert testbed.score(again).metrics == pytest.approx(testbed.score(table).metrics)


@pytest.mark.parametrize("attacks", options("testbed/attacks"))
def test_attacks_are_chosen_by_name_alone(attacks, config):
    zoo = {"hard": ["testbed/zoo=lineage_hard"]}.get(attacks, [])
    made = instantiate(config(f"testbed/attacks={attacks}", *zoo)["testbed"], _convert_="all")
    assert set(made.attacks) <= made.tested_roles
    with pytest.raises(ValueError, match="extractions: 'nosuch' is no attack"):
        replace(made, extractions=["nosuch"])
