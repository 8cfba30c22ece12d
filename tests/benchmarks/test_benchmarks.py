"""Benchmarks run in small, and what they make of numbers; the numbers themselves are nobody's here."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from hydra.utils import instantiate

from benchmarks import field, report, scaling, verdict
from experiments.storage.tables import as_written
from experiments.testbeds.ip_protection.copies import KINDS
from modelgif_core import Paths, extract_field

AXES = ["Models", "References", "Steps", "Pixels"]


def table_of(*rows):
    columns = ["AUCs inside", "Spearman, worst", "Gradients per model", "Times fewer gradients", "Times fewer seconds"]
    return pd.DataFrame.from_dict({name: values for name, *values in rows}, orient="index", columns=columns)


@pytest.fixture(scope="module")
def toy():
    return instantiate(verdict.composed("toy", "toy", (2, 8), 0)["testbed"], _convert_="all")


def distances(toy, seed, references=4):
    pairs = pd.MultiIndex.from_tuples(toy.pairs(), names=["source", "target"])
    return pd.DataFrame(np.random.default_rng(seed).random((len(pairs), references)), index=pairs)


@pytest.mark.slow
def test_field_runs_and_writes_a_row_for_each_network_named(command, tmp_path):
    names = ["ResNet-20@32"]
    done = command("-m", "benchmarks.field", *names, "--repeats", "1")
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / report.folder() / "field.json").read_text())
    (table,) = content["tables"].values()
    assert [row["Network"] for row in table] == names
    assert all(row["Error, ours"] < 1e-3 and row["Error, plain"] < 1e-3 for row in table)
    assert all(0 < row["Change, bfloat16"] < 0.2 for row in table)
    assert content["settings"]["device"] == "cpu"


def test_the_plain_twin_has_the_same_field():
    build, side, _ = field.networks()["ResNet-20@32"]
    model = build()
    paths = Paths(torch.zeros(()), torch.rand(3, 3, side, side, generator=torch.Generator().manual_seed(0)))
    plain, ours = field.plain_field(model, paths, steps=4), extract_field(model, paths, steps=4)
    assert (plain - ours).norm() < 1e-4 * ours.norm()


def test_networks_to_measure_take_the_images_they_are_said_to_take():
    for build, side, _ in field.networks().values():
        if side <= 32:
            assert build().eval()(torch.rand(1, 3, side, side)).shape == (1, 10)


@pytest.mark.slow
def test_scaling_runs_and_writes_a_table_for_each_axis(command, tmp_path):
    done = command("-m", "benchmarks.scaling", "--quick")
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / report.folder() / "scaling.json").read_text())
    tables = content["tables"]
    assert list(tables) == ["All axes", *AXES]
    assert [row["Axis"] for row in tables["All axes"]] == AXES
    for axis in AXES:
        start = content["settings"]["1x"][axis.lower()]
        assert [row[axis] for row in tables[axis]] == [start * factor for factor in content["settings"]["factors"]]
        assert all(row[f"Seconds, {way}"] > 0 for row in tables[axis] for way in scaling.WAYS)
    page = (tmp_path / report.folder() / "scaling.md").read_text()
    assert "Exponent of seconds, all pairs" in page
    assert "Growth of memory from 1x to 8x, embeddings" in page


@pytest.mark.slow
def test_verdict_runs_and_marks_one_setting(command, tmp_path):
    done = command("-m", "benchmarks.verdict", "--toy", "--seeds", "0,1")
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / report.folder() / "verdict_toy_8.json").read_text())
    whole, alone, redrawn = content["tables"].values()
    budget = content["settings"]["budget"]
    cheaper = [(steps, budget // share) for steps in verdict.FEWER_STEPS for share in verdict.SHARES]
    assert [(row["Steps"], row["References"]) for row in whole] == [(verdict.STEPS, budget), *cheaper]
    assert all(row["Gradients per model"] == row["Steps"] * row["References"] for row in whole)
    first, marked = whole[0], [row for row in whole if row["Cheapest that keeps the verdict"]]
    assert (first["worst"], first["Spearman, worst"], first["Times fewer gradients"]) == (0, pytest.approx(1), 1)
    assert [row["Setting"] for row in marked] == [row["Setting"] for row in alone]
    # Measured by itself, a smaller draw is the start of the larger one.
    assert alone[0]["Spearman"] == pytest.approx(marked[0]["Spearman"], abs=1e-3)
    assert len(redrawn) == 1
    assert f"at most 1/{verdict.GOAL}" in (tmp_path / report.folder() / "verdict_toy_8.md").read_text()


@pytest.mark.parametrize("slope", [0, 0.5, 1, 2])
def test_the_exponent_is_the_slope_of_the_logarithms(slope):
    sizes = [4, 8, 16, 32]
    assert scaling.exponent(sizes, [3 * size**slope for size in sizes]) == pytest.approx(slope, abs=1e-9)


@pytest.mark.parametrize("factor", scaling.FACTORS)
def test_images_have_exactly_the_pixels_asked_for(factor):
    size = scaling.replace(scaling.FULL, pixels=scaling.FULL.pixels * factor)
    place = scaling.testbed(size)
    assert place.samples.inputs[0].numel() == size.pixels
    assert len(place.pairs()) == size.models * (size.models - 1) // 2


def test_the_cheapest_setting_has_the_fewest_gradients_of_those_that_keep_the_verdict():
    table = table_of(
        ("published", "yes", 1.0, 800, 1, 1),
        ("loses an AUC", "no", 1.0, 10, 80, 80),
        ("loses the ranking", "yes", 0.98, 10, 80, 80),
        ("has no ranking", "yes", np.nan, 10, 80, 80),
        ("dear", "yes", 1.0, 80, 10, 10),
        ("cheap", "yes", verdict.AGREEMENT, 40, 20, 19),
        ("as cheap and nearer", "yes", 0.995, 40, 20, 19),
    )
    assert verdict.cheapest(table) == "as cheap and nearer"
    assert verdict.cheapest(table.iloc[:4]) == "published"
    assert verdict.cheapest(table.iloc[1:4]) is None
    told = verdict.conclusion(table.loc[["as cheap and nearer"]])
    assert "1/20 of the gradients (at most 1/20: yes) and 1/19 of the seconds (at most 1/20: no)" in told


def test_a_verdict_has_the_auc_of_every_attack_and_the_mean_distance_of_every_suspect(toy):
    table = distances(toy, 0)
    found = verdict.judged(toy, table)
    means = as_written(table.mean(axis=1)).droplevel("source")
    means = means[[toy.zoo[name].role in toy.tested_roles for name in means.index]]
    assert found.means.sort_index().equals(means.sort_index().rename("distance").rename_axis("suspect"))
    for attack, task in toy.attacks.items():
        near, far = (
            means[[toy.zoo[name].role in roles for name in means.index]]
            for roles in ([attack], [f"{kind}_{task}" for kind in KINDS])
        )
        assert found.aucs[attack].value == pytest.approx((near.to_numpy()[:, None] < far.to_numpy()).mean())


def test_what_is_not_finite_is_null_in_a_benchmarks_json(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = pd.DataFrame({"Spearman": [0.5, np.nan, np.inf], "Kept": ["yes", "no", "no"]}, index=["a", "b", "c"])
    report.save("verdict", "title", "text", {"all": table.rename_axis("Setting")}, {}, [])

    def refuse(constant):
        raise AssertionError(constant)

    text = (tmp_path / report.folder() / "verdict.json").read_text()
    rows = json.loads(text, parse_constant=refuse)["tables"]["all"]
    assert [row["Spearman"] for row in rows] == [0.5, None, None]
    assert [row["Setting"] for row in rows] == ["a", "b", "c"]


def test_a_row_tells_the_worst_draw(toy):
    table = distances(toy, 0)
    first, other = (verdict.judged(toy, found) for found in (table, -table))
    same, reversed_ = verdict.agreement(first, first), verdict.agreement(other, first)
    row = verdict.row([same, reversed_])
    assert (same[:2], row["AUCs inside"]) == ((0, True), "no")
    assert row["Spearman, worst"] == pytest.approx(-1)
    assert row["Spearman"] == pytest.approx(0)
    assert row["worst"] == reversed_[0] == 2 * row["Largest AUC difference"] > 0


def test_a_prefix_keeps_the_first_references_and_their_share_of_the_cost(toy):
    found = verdict.Measured(distances(toy, 0), 400, 8.0).prefix(1)
    assert (found.distances.shape[1], found.gradients, found.seconds) == (1, 100, 2)
