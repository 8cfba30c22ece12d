"""Pairwise comparison: orders change nothing, strangers calibrate verdicts, mistakes end at once."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from torch import nn

import run
from experiments.interfaces import Samples, ZooModel
from experiments.measure import measure
from experiments.pages import __main__ as pages
from experiments.pages import sweep
from experiments.storage.configuration import composed, resolved
from experiments.testbeds.pairwise import models, nulls, page, pictures, verdicts
from experiments.testbeds.pairwise.facts import facts
from experiments.testbeds.pairwise.testbed import Pairwise
from modelgif_core import Paths
from modelgif_core.readout import predicted_class
from modelgif_core.view import flat

CPU = torch.device("cpu")
IMAGES = torch.rand(6, 3, 4, 4, generator=torch.Generator().manual_seed(0))
TOY = ["testbed=pairwise", "testbed/zoo=pairwise_toy", "testbed/samples=toy", "testbed.budget=8"]
NAMES = [f"experiments.testbeds.pairwise.toy:{name}" for name in ("small", "small_copied", "small_stranger")]
OTHER = "experiments.testbeds.pairwise.toy:small_other"


def compared(names, images=IMAGES, **settings):
    zoo = {name: ZooModel(name, "model", "toy", nn.Flatten) for name in names}
    return Pairwise(zoo, Samples(images), 4, predicted_class, flat, **settings)


def distances(testbed, near, *, far=lambda number: 0.9):
    rows = {
        pair: 0.0 if pair[0] == pair[1] else 0.1 if pair == near else far(number)
        for number, pair in enumerate(testbed.pairs())
    }
    return pd.DataFrame(np.outer(list(rows.values()), np.ones(3)), pd.MultiIndex.from_tuples(rows))


def measured(*settings, method="modelgif", **changes):
    quick = ["method.represent.steps=3"] if method == "modelgif" else []
    config = resolved(*TOY, f"method={method}", *quick, *settings)
    testbed = replace(instantiate(config["testbed"], _convert_="all"), **changes)
    table, cost = measure(testbed, instantiate(config["method"], _convert_="all"), CPU)
    return testbed, testbed.score(table), cost


def test_the_order_of_models_and_of_images_changes_no_number():
    _, report, _ = measured()
    samples = instantiate(resolved(*TOY)["testbed"]["samples"])
    turned = Samples(samples.inputs.flip(0), samples.labels.flip(0))
    _, other, _ = measured(f"testbed.zoo.models=[{','.join(reversed(NAMES))}]", samples=turned)
    for name, matrix in report.matrices.items():
        pd.testing.assert_frame_equal(matrix, other.matrices[name])
    assert {name for name, value in report.metrics.items() if other.metrics[name] != value} == set()


def test_each_model_makes_one_pass_whatever_the_number_of_pairs():
    testbed, _, cost = measured()
    assert len(testbed.pairs()) == 6
    ends = cost["cost/gradient_per_model"] - 3 * testbed.budget
    assert 0 <= ends <= 2 * testbed.budget  # preparing and the readout look at a path's end, too


def test_a_copy_is_nearer_than_strangers_and_nulls_and_every_model_is_at_zero_from_itself():
    _, report, _ = measured("testbed.zoo.nulls=true")
    pairs = report.matrices["pairs"]
    near = pairs.iloc[0]
    assert pairs.index[0] == tuple(NAMES[:2])
    assert near["high"] < near[["first_twin", "second_twin", "other_images"]].min()
    assert report.metrics["farthest_from_itself"] == pytest.approx(0, abs=1e-6)
    assert report.metrics["null/other_images"] > report.metrics["nearest"]


@pytest.mark.parametrize("method", ["agreement", "jsd", "path_potential", "cka_debiased", "nearest_layer"])
def test_models_of_other_classes_are_compared_where_that_means_something(method):
    testbed, report, _ = measured(f"testbed.zoo.models=[{','.join([*NAMES, OTHER])}]", method=method)
    square = report.matrices["distance"]
    assert square.loc[NAMES, NAMES].notna().all(axis=None)
    assert square.loc[OTHER, OTHER] == pytest.approx(0, abs=1e-6)
    assert square.loc[NAMES, OTHER].isna().all() == (method != "cka_debiased")
    why = {testbed.why_not((name, OTHER), instantiate(resolved(f"method={method}")["method"])) for name in NAMES}
    expected = {"cka_debiased": "", "nearest_layer": "weights of other names or shapes"}
    assert why == {expected.get(method, "10 and 5 classes")}


def test_what_no_model_can_do_is_refused_with_its_reason():
    encoders = {name: ZooModel(name, "model", "toy", nn.Identity) for name in "ab"}
    with pytest.raises(ValueError, match=r"Label agreement can compare no two .* answers of 1x8x8 are no classes"):
        measured(method="agreement", zoo=encoders)


def test_a_null_on_other_images_pairs_every_image_with_another_one():
    ends = torch.arange(5.0).view(5, 1).expand(5, 2)
    turned = nulls.next_images(Paths(torch.zeros(()), ends, torch.arange(5)))
    assert (turned.ends[:, 0] != ends[:, 0]).all()
    assert torch.equal(turned.ends[:, 0].long(), turned.labels)
    for alone in (None, Samples(IMAGES[:1])):
        with pytest.raises(ValueError, match=r"testbed\.zoo\.nulls=false"):
            nulls.next_images(alone)


def test_chunks_of_paths_change_no_null():
    config = resolved(*TOY, "testbed.zoo.nulls=true", "method.represent.steps=3")
    testbed, method = (instantiate(config[part], _convert_="all") for part in ("testbed", "method"))
    whole, parts = (measure(testbed, replace(method, pairwise=None), CPU, chunk=chunk)[0] for chunk in (64, 1))
    pd.testing.assert_frame_equal(whole, parts, atol=1e-5)


def test_a_pair_that_was_asked_both_ways_is_as_far_as_the_mean_of_both():
    asked = {("a", "a"): 0.0, ("a", "b"): 0.1, ("b", "a"): 0.3, ("b", "b"): 0.0}
    table = pd.DataFrame(np.outer(list(asked.values()), [0.9, 1.0, 1.1]), pd.MultiIndex.from_tuples(asked))
    report = compared("ab").score(table)
    assert report.matrices["pairs"]["distance"].to_dict() == {("a", "b"): pytest.approx(0.2)}
    assert report.metrics["nearest/a"] == report.metrics["nearest/b"] == pytest.approx(0.2)


def test_a_pair_that_is_dead_one_way_is_not_taken_by_the_other_whatever_its_names():
    for dead in ("a", "c"):
        asked = {(one, other): np.nan if one == dead else 1.0 for one in ("b", dead) for other in ("b", dead)}
        table = pd.DataFrame(np.outer(list(asked.values()), np.ones(3)), pd.MultiIndex.from_tuples(asked))
        report = compared(["b", dead]).score(table)
        assert report.metrics["compared"] == 0
        assert np.isnan(report.matrices["distance"].loc["b", dead])


@pytest.mark.parametrize("directed", ["one_map", "modelgif"])
def test_new_weights_are_the_mean_over_models_whatever_their_names(directed):
    testbed, report, _ = measured("testbed.zoo.nulls=true", "testbed.budget=24", method=directed)
    pairs = report.matrices["pairs"].reset_index()
    twins = dict(zip(pairs["first"], pairs["first_twin"], strict=True))
    twins |= dict(zip(pairs["second"], pairs["second_twin"], strict=True))
    assert len(twins) == len(testbed._models) == 3
    assert report.metrics["null/new_weights"] == pytest.approx(np.mean(list(twins.values())))


def test_networks_of_one_architecture_are_of_one_make_whatever_wraps_them_and_however_many_classes_they_tell_apart():
    def network(classes, width=6):
        return nn.Sequential(nn.Flatten(), nn.Linear(48, width), nn.ReLU(), nn.Linear(width, classes))

    makes = {
        name: facts(model, name, IMAGES[:1]).make
        for name, model in {
            "ten": network(10),
            "five": network(5),
            "wrapped": nn.Sequential(nn.Identity(), network(10)),
            "wider": network(10, 7),
            "deeper": nn.Sequential(network(6), nn.ReLU(), nn.Linear(6, 10)),
        }.items()
    }
    assert makes["ten"] == makes["five"] == makes["wrapped"]
    assert len(set(makes.values())) == 3


def test_two_of_one_make_are_held_against_strangers_of_that_make_alone():
    def other():
        return nn.Sequential(nn.Flatten(), nn.Linear(48, 2))

    models = {"a": nn.Flatten, "b": nn.Flatten, **dict.fromkeys("xyz", other)}
    zoo = {name: ZooModel(name, "model", "toy", model) for name, model in models.items()}
    testbed = Pairwise(zoo, Samples(IMAGES), 4, predicted_class, flat, strangers=["x", "y", "z"])
    spread = np.random.default_rng(0).normal(0.9, 0.02, 99)
    found = distances(testbed, ("a", "b"), far=lambda number: spread[number])
    assert testbed.score(found).matrices["pairs"]["verdict"].isna().all()


def test_with_enough_strangers_the_near_pair_alone_is_derived():
    strangers = [f"s{number:02}" for number in range(6)]
    testbed = compared(["a", "b", "c", *strangers], strangers=["s*"])
    spread = np.random.default_rng(0).normal(0.9, 0.02, 99)
    report = testbed.score(distances(testbed, ("a", "b"), far=lambda number: spread[number % 99]))
    assert report.matrices["pairs"]["verdict"].dropna().to_dict() == {
        ("a", "b"): "derived",
        ("a", "c"): "not told apart",
        ("b", "c"): "not told apart",
    }
    assert report.matrices["pairs"].loc[("a", "b"), "p_rank"] == pytest.approx(1 / 7)
    assert report.metrics["farthest_from_itself"] == 0
    assert report.metrics["p_of_itself"] < 1e-4
    assert report.metrics["accused_strangers"] <= 0.2


def test_a_stranger_may_be_named_by_its_name_whatever_is_in_it():
    assert compared(["a", "b", "s[1]", "s[2]", "s*"], strangers=["s[1]", "s[2]", "s*"])._judged == ["a", "b"]


def test_three_strangers_that_are_all_equally_far_let_nothing_be_said():
    testbed = compared("abxyz", strangers=["x", "y", "z"])
    pairs = testbed.score(distances(testbed, ("a", "b"))).matrices["pairs"]
    assert pairs.loc[("a", "b"), ["p", "p_rank"]].tolist() == [0.25, 0.25]
    assert pairs["verdict"].dropna().tolist() == ["not told apart"]


def test_a_model_that_cannot_be_compared_leaves_what_is_said_of_the_others():
    testbed = compared("abcxyzw", strangers=["x", "y", "z", "w"])
    spread = np.random.default_rng(0).normal(0.9, 0.02, 99)
    whole = distances(testbed, ("b", "c"), far=lambda number: spread[number % 99])
    report = testbed.score(whole[[("a" not in pair) for pair in whole.index]])
    assert report.metrics["farthest_from_itself"] == 0
    assert report.metrics["p_of_itself"] < 1e-3
    assert report.matrices["pairs"]["verdict"].dropna().to_dict() == {("b", "c"): "derived"}


def test_strangers_are_accused_about_as_often_as_said_where_distances_are_normal():
    draw = np.random.default_rng(0)
    accused = []
    names = [f"m{number}" for number in range(7)]
    for _ in range(300):
        far = draw.normal(1, 0.1, (7, 7))
        square = pd.DataFrame((far + far.T) / 2, names, names)
        accused.append(verdicts.accused_strangers(square, names[:1], names[1:], 0.05, dict.fromkeys(names, "one")))
    assert 0 < np.mean(accused) <= 0.06  # the larger of two p-values counts, hence mostly fewer


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"strangers": ["c", "d"]}, "at least 3 different models"),
        ({"strangers": ["b", "c", "e"]}, "no model 'e'"),
        ({"strangers": ["b", "c", "d"]}, "leave no two models to judge"),
        ({"level": 1.0}, "level must lie between 0 and 1"),
        ({"images": 2 * IMAGES}, r"values in \[0, 1\]"),
    ],
)
def test_mistakes_are_refused_at_once(settings, said):
    with pytest.raises(ValueError, match=said):
        compared("abcd", **settings)


def test_settings_of_several_experiments_are_refused(capsys):
    for words in (["seed=1"], ["pairwise", "demo", "seed=1"], ["pairwise", "seed=1", "--record"]):
        with pytest.raises(SystemExit):
            pages.main(words)
        assert "settings are those of one experiment's own runs" in capsys.readouterr().err


def test_a_page_has_every_method_with_what_it_cannot_compare_and_pictures_of_all(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = (
        *TOY,
        f"testbed.zoo.models=[{','.join([*NAMES, OTHER])}]",
        "testbed.zoo.nulls=true",
        "method=agreement,cka",
    )
    for config in sweep.jobs("pairwise", given):
        run.main(composed("experiment=pairwise", *given[:-1], f"method={_name(config)}", "wandb=disabled"))
    found = sweep.experiment("pairwise", tmp_path / "results" / "runs", given)
    assert len(found.done) == 2
    assert pages.main(["pairwise", *given]) == 0
    whole = (tmp_path / "results" / "pages" / "tables" / "pairwise_mini.md").read_text()
    assert "> Own runs alone, 2 of 2; none is missing. Their settings are those of the command at the end" in whole
    assert "2 of 2 runs of `python run.py experiment=pairwise testbed=pairwise" in whole
    assert len(list(tmp_path.glob("results/pages/figures/pairwise_mini_*.png"))) == 2
    text = page.matrices(found)
    assert "n/a: 10 and 5 classes (small – small_other" in text
    assert "Label agreement (label):" in text
    assert "| small – small_copied" in page.nulls(found)
    assert page.verdicts(found) == ""
    assert len(page.heat_maps(found).axes) == 2
    assert len(page.trees(found).axes) == 2


def _name(config):
    return {"Label agreement": "agreement", "CKA": "cka"}[config["method"]["label"]]


def test_what_cannot_be_compared_is_left_out_of_a_tree():
    square = pd.DataFrame([[0, 0.1, np.nan], [0.1, 0, np.nan], [np.nan, np.nan, 0]], list("abc"), list("abc"))
    assert list(pictures.comparable(square).index) == ["a", "b"]
    assert pictures.grown({"none": square.loc[["c"], ["c"]]}) is None
    assert pictures.grown({"the same": 0 * square.loc[["a", "b"], ["a", "b"]]}) is None


def test_the_zoo_of_digits_asks_about_a_victim_and_copies_and_has_strangers_of_every_architecture():
    config = resolved("experiment=pairwise_digits")
    testbed = instantiate(config["testbed"], _convert_="all")
    assert [name.split("-")[0] for name in testbed._judged] == [
        "extract_l",
        "extract_p",
        "finetune_a",
        "pruning",
        "transfer_a",
        "victim",
    ]
    assert len(testbed._strangers) == 16
    assert len({testbed.zoo[name].architecture for name in testbed._strangers}) == 4


def test_a_role_that_is_asked_about_gives_other_models_as_strangers():
    zoo = {name: ZooModel(name, "unrelated", "toy", nn.Flatten) for name in "abcd"}
    found = models.chosen(of=zoo, roles={"unrelated": 1}, strangers={"unrelated": 3}, seed=0)
    assert [name for name in found if len(name) == 1] == ["a", "b", "c", "d"]


def test_a_role_that_the_zoo_lacks_is_named():
    config = resolved("testbed=pairwise", "testbed/zoo=pairwise_mini", "+testbed.zoo.roles.victin=1")
    with pytest.raises(InstantiationException, match=r"no model has the role 'victin'; did you mean victim\?"):
        instantiate(config["testbed"], _convert_="all")
