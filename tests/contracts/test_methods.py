"""Every method of conf/, on the toy zoo."""

import copy
from dataclasses import replace
from functools import partial
from itertools import product

import pytest
import torch
from conftest import TOY, options
from hydra.utils import instantiate

from experiments.interfaces import ZooModel
from experiments.measure import measure
from experiments.testbeds.ip_protection import toy

CPU = torch.device("cpu")
NULLS = {"random_init", "untrained_field"}
SAMPLES = ["testbed/samples=toy", "testbed.budget=24"]
TOYS = {
    "ip_protection": [*TOY[:1], *SAMPLES, "testbed.zoo.copies=2"],
    "task_relatedness": ["testbed=task_relatedness", "testbed/zoo=toy_tasks", *SAMPLES],
    "unlearning": ["testbed=unlearning", "testbed/zoo=toy_forgetting", "testbed.budget=24", "testbed.zoo.copies=2"],
}
QUICK = {"zest": ["method.queries.masks=60"], "relearn_time": ["method.represent.cap=30"]}
"""Settings that take less time than a test may, made smaller."""
TWIN = {"ip_protection": "extract_l", "task_relatedness": "encoder", "unlearning": "unrelated"}
"""The role of a copy of the first source."""


NEEDS_CLASSES, NEEDS_A_VICTIM, NEEDS_ROLES = "come from classifiers", "asks one source model", "has a role in"
NEEDS_POOLS, NEEDS_LABELS = "take testbed=unlearning", r"reads outputs \(n, classes\)"
ON_POOLS = [
    "class_rank",
    "forget_accuracy",
    "forget_unseen_accuracy",
    "knn_probe",
    "linear_probe",
    "lira",
    "mia_entropy",
    "mia_loss",
    "relearn_time",
    "retain_accuracy",
    "test_accuracy",
    "ulira",
]
"""Verifiers of unlearning that ask about whole pools of images instead of a budget."""
REFUSED = {
    ("lrp", "ip_protection"): "no rule for SiLU",
    ("agreement", "task_relatedness"): NEEDS_CLASSES,
    ("jsd", "task_relatedness"): NEEDS_CLASSES,
    ("logit_cosine", "task_relatedness"): NEEDS_CLASSES,
    ("sac_m", "task_relatedness"): NEEDS_CLASSES,
    ("akh", "task_relatedness"): NEEDS_A_VICTIM,
    ("modelgif/low_margin", "task_relatedness"): NEEDS_A_VICTIM,
    ("modelgif/misclassified", "task_relatedness"): NEEDS_A_VICTIM,
    ("modelgif/paper", "task_relatedness"): NEEDS_ROLES,
    ("modelgif/separating", "task_relatedness"): NEEDS_ROLES,
    ("activation_distance", "task_relatedness"): NEEDS_CLASSES,
    ("zest", "task_relatedness"): NEEDS_CLASSES,
    ("zrf", "task_relatedness"): NEEDS_CLASSES,
    ("cka_penultimate", "task_relatedness"): "has no nn.Linear, and so no head",
    ("modelgif/centred", "task_relatedness"): NEEDS_LABELS,
    ("modelgif/odds", "task_relatedness"): NEEDS_LABELS,
    ("modelgif/euclidean", "task_relatedness"): NEEDS_LABELS,
    ("ulira", "unlearning"): "needs two shadow models",
    ("lrp", "unlearning"): "no rule for SiLU",
    ("akh", "unlearning"): NEEDS_A_VICTIM,
    ("modelgif/low_margin", "unlearning"): NEEDS_A_VICTIM,
    ("modelgif/misclassified", "unlearning"): NEEDS_A_VICTIM,
    ("modelgif/paper", "unlearning"): NEEDS_ROLES,
    ("modelgif/separating", "unlearning"): NEEDS_ROLES,
    ("modelgif/cutmix", "unlearning"): "needs labelled paths",
    **{(method, testbed): NEEDS_POOLS for method in ON_POOLS for testbed in ("ip_protection", "task_relatedness")},
}
"""What a method must refuse, and how; everything else must work."""
BLIND = {(name, "unlearning") for name in ("knn_probe", "linear_probe", "mia_loss", "relearn_time", "retain_accuracy")}
"""Where the toys do not differ in what is asked: random features all, fitted heads without overfitting."""
FITTING = [pair for pair in product(options("method"), TOYS) if pair not in REFUSED]


@pytest.fixture
def parts(config):
    def made(method: str, *overrides: str, toy: str = "ip_protection"):
        composed = config(*TOYS[toy], f"method={method}", *QUICK.get(method, []), *overrides)
        testbed = instantiate(composed["testbed"], _convert_="all")
        return testbed, instantiate(composed["method"], _convert_="all")

    return made


@pytest.mark.parametrize(("name", "toy"), REFUSED)
def test_a_method_that_makes_no_sense_on_a_testbed_says_why(name, toy, parts):
    with pytest.raises(ValueError, match=REFUSED[name, toy]):
        measure(*parts(name, toy=toy), CPU)


@pytest.mark.parametrize(("name", "toy"), FITTING)
def test_a_method_is_finite_repeatable_zero_on_a_twin_and_nearer_to_a_relative_than_to_a_stranger(name, toy, parts):
    testbed, method = parts(name, toy=toy)
    source, _ = testbed.pairs()[0]
    original = testbed.zoo[source]
    twin = ZooModel("twin", TWIN[toy], "toy", original.load)
    testbed = replace(testbed, zoo={**testbed.zoo, "twin": twin})
    table, cost = measure(testbed, method, CPU)
    once, again = (method.represent(original.load(), method.queries(testbed)) for _ in range(2))
    assert torch.equal(once, again)
    mean = table.mean(axis=1)
    assert mean.notna().all()
    assert mean[source, "twin"] == pytest.approx(0, abs=1e-6)
    if name not in NULLS and (name, toy) not in BLIND:
        related = [pair for pair in mean.index if relatives(*pair, toy)]
        strangers = [pair for pair in mean.index if unrelated(*pair, toy)]
        assert mean[related].mean() < mean[strangers].mean()
    evaluations = cost["cost/gradient_per_model"] + cost["cost/forward_per_model"]
    assert evaluations >= testbed.budget


def relatives(source, target, toy):
    if toy == "ip_protection":
        return target.startswith("finetune_a")
    if toy == "unlearning":
        return source.startswith("retrain_calibrate") and target.startswith("retrain-")
    return source != target and source[:-1] == target[:-1]


def unrelated(source, target, toy):
    if toy == "ip_protection":
        return target.startswith("unrelated_digits")
    if toy == "unlearning":
        return source.startswith("retrain_calibrate") and target.startswith("unrelated-")
    return source[:-1] != target[:-1] and "twin" not in (source, target)


@pytest.mark.parametrize(("name", "toy"), [pair for pair in FITTING if pair[0] not in ON_POOLS])
def test_a_method_shows_no_more_samples_than_the_budget(name, toy, parts):
    testbed, method = parts(name, toy=toy)
    queries = method.queries(testbed)
    shown = queries.ends if hasattr(queries, "ends") else queries.inputs
    assert len(shown) == testbed.budget
    assert torch.isfinite(shown).all()
    assert shown.min() >= 0
    assert shown.max() <= 1


@pytest.mark.parametrize("name", options("method"))
def test_only_the_replication_of_the_paper_selects_on_roles_that_are_scored(name, config):
    composed = config(f"method={name}")
    testbed = instantiate(composed["testbed"], _convert_="all")
    choose = composed["method"]["queries"].get("choose", {})
    overlap = {*choose.get("far", []), *choose.get("near", [])} & testbed.tested_roles
    assert bool(overlap) == (name == "modelgif/paper")
    assert bool(choose.get("leak")) == (name == "modelgif/paper")


def test_selecting_on_scored_roles_is_refused_unless_it_is_named(parts):
    testbed, method = parts("modelgif/separating", "method.queries.choose.far=[unrelated_digits]")
    with pytest.raises(ValueError, match=r"unrelated_digits.*are scored"):
        method.queries(testbed)


def test_integrated_gradients_are_the_last_step_of_the_field(parts):
    testbed, gradients = parts("integrated_gradients")
    _, field = parts("modelgif")
    model, queries = testbed.zoo["extract_l-0"].load(), field.queries(testbed)
    torch.testing.assert_close(
        gradients.represent(model, queries)[:, 0], field.represent(model, queries)[:, -1], rtol=1e-4, atol=1e-6
    )


def test_the_untrained_null_sees_architecture_alone(parts):
    testbed, method = parts("random_init")
    table, _ = measure(testbed, method, CPU)
    assert table.abs().max().max() < 1e-6  # all toy networks have one architecture


def test_akh_shows_what_the_victim_gets_wrong(parts):
    testbed, method = parts("akh")
    shown = method.queries(testbed)
    predicted = testbed.zoo["victim"].load()(shown.inputs).argmax(1)
    assert (predicted != shown.labels).all()


def test_akh_fills_a_short_supply_of_mistakes_by_cutmix(parts):
    testbed, method = parts("akh")
    victim, inputs = testbed.zoo["victim"].load(), testbed.samples.inputs
    labels = victim(inputs).argmax(1)
    labels[:3] = (labels[:3] + 1) % 10
    testbed = replace(testbed, samples=testbed.samples._replace(labels=labels))
    shown = method.queries(testbed).inputs
    assert len(shown) == testbed.budget
    assert {image.numpy().tobytes() for image in shown[:3]} == {image.numpy().tobytes() for image in inputs[:3]}
    perfect = replace(testbed, samples=testbed.samples._replace(labels=victim(inputs).argmax(1)))
    with pytest.raises(ValueError, match="classifies the whole pool correctly"):
        method.queries(perfect)


def test_low_margin_samples_are_those_nearest_to_the_boundary(parts):
    testbed, method = parts("modelgif/low_margin")
    victim = testbed.zoo["victim"].load()

    def margins(inputs):
        first, second = victim(inputs).topk(2, dim=1).values.T
        return first - second

    assert margins(method.queries(testbed).ends).max() <= margins(testbed.samples.inputs).sort().values[testbed.budget]


def test_separating_points_part_strangers_from_surrogates_better_than_random_ones(parts):
    testbed, random = parts("modelgif")
    testbed_64, chosen = parts("modelgif/separating", "method.queries.choose.candidates=64")

    def gap(method):
        paths = method.queries(testbed_64)
        source = method.represent(testbed.zoo["victim"].load(), paths)

        def mean(role):
            models = [model.load() for model in testbed.zoo.values() if model.role == role]
            return sum(method.distance(source, method.represent(model, paths)).mean() for model in models) / len(models)

        return mean("held_out_digits") - mean("surrogate")

    assert gap(chosen) > gap(random)


def test_sac_does_not_care_how_classes_are_numbered_and_agreement_does(parts):
    testbed, sac = parts("sac_m")
    _, agreement = parts("agreement")
    outputs = sac.represent(testbed.zoo["victim"].load(), sac.queries(testbed))
    renumbered = outputs.roll(1, dims=1)
    assert sac.distance(outputs, renumbered) == pytest.approx(0, abs=1e-6)
    assert agreement.distance(outputs, renumbered).mean() == 1


def test_output_distances_have_their_textbook_values(parts):
    _, jsd = parts("jsd")
    _, cosine = parts("logit_cosine")
    one, other = torch.tensor([[80.0, 0, 0]]), torch.tensor([[0, 80.0, 0]])
    assert jsd.distance(one, other).item() == pytest.approx(torch.log(torch.tensor(2.0)).item())
    assert cosine.distance(one, one + 5).item() == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match="one shape"):
        jsd.distance(one, torch.zeros(1, 4))


def test_distances_of_paths_do_not_depend_on_the_chunk(parts):
    testbed, method = parts("modelgif")
    whole, _ = measure(testbed, method, CPU, chunk=100)
    chunked, _ = measure(testbed, method, CPU, chunk=3)
    assert (whole - chunked).abs().max().max() < 1e-5


def test_cost_counts_gradients_and_forwards_apart(parts):
    testbed, method = parts("modelgif")
    _, cost = measure(testbed, method, CPU)
    assert cost["cost/gradient_per_model"] == testbed.budget * 50
    assert cost["cost/forward_per_model"] == testbed.budget
    _, cost = measure(*parts("agreement"), CPU)
    assert cost["cost/gradient_per_model"] == 0
    assert cost["cost/forward_per_model"] == testbed.budget


def test_each_model_is_loaded_once_a_chunk_and_dropped_after_its_last_pair(parts):
    testbed, method = parts("agreement")
    loads = []

    def counted(model):
        return replace(model, load=partial(lambda m: (loads.append(m.name), m.load())[1], model))

    measure(replace(testbed, zoo={name: counted(model) for name, model in testbed.zoo.items()}), method, CPU)
    trial, *measured = loads  # before anything else, one sample is tried on the source
    assert trial == "victim"
    assert sorted(measured) == sorted({name for pair in testbed.pairs() for name in pair})


def test_a_model_that_ignores_its_input_is_refused_by_name(parts):
    testbed, method = parts("modelgif")
    blind = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    torch.nn.init.zeros_(blind[1].weight)
    zoo = {**testbed.zoo, "blind": ZooModel("blind", "extract_l", "toy", lambda: blind)}
    testbed = replace(testbed, zoo=zoo)
    table, _ = measure(testbed, method, CPU)
    with pytest.raises(ValueError, match=r"blind.*does not depend on its input"):
        testbed.score(table)


@pytest.mark.parametrize("name", ["modelgif", "integrated_gradients", "agreement", "jsd", "sac_m"])
def test_a_model_with_broken_weights_is_refused_by_name(name, parts):
    testbed, method = parts(name)
    broken = copy.deepcopy(toy.network(0))
    with torch.no_grad():
        broken[0].weight[0] = torch.nan
    zoo = {**testbed.zoo, "broken": ZooModel("broken", "extract_l", "toy", lambda: broken)}
    with pytest.raises(ValueError, match=r"broken.*not finite"):
        measure(replace(testbed, zoo=zoo), method, CPU)
