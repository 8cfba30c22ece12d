"""Every method of conf/ on every toy testbed: what it must do, or why it says no."""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial
from itertools import product

import pytest
import torch
from conftest import ROOT, TOY, options
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf

from experiments.interfaces import NEEDS, ZooModel
from experiments.measure import measure
from experiments.offers import offered

CPU = torch.device("cpu")
METHODS = [*options("method"), *(f"modelgif/{name}" for name in options("method/modelgif"))]
NULLS = {"random_init", "untrained_field"}
LEAKS = {
    "modelgif/paper": ["ip_protection"],
    "modelgif/paper_sac": ["ip_protection"],
    "modelgif/adversarial_paper": ["task_relatedness", "pairwise"],
    "modelgif/false_claim": ["ip_protection"],
    "logit_cosine_false_claim": ["ip_protection"],
}
"""Replications and false claims, whose choice looks at what is scored, and where it does."""
SAMPLES = ["testbed/samples=toy", "testbed.budget=24"]
STRANGERS = "unrelated_original,matched_original,same_images_original,unrelated_corrupted,unrelated_turned"
FEW = ["testbed.zoo.copies=2", f"testbed.zoo.independent=[{STRANGERS},independent,independent_early]"]
"""A zoo without models that calibrate, which take time and are not asked here."""
TOYS = {
    "ip_protection": [*TOY[:1], *SAMPLES, *FEW],
    "task_relatedness": ["testbed=task_relatedness", "testbed/zoo=toy_tasks", *SAMPLES],
    "unlearning": ["testbed=unlearning", "testbed/zoo=toy_forgetting", "testbed.budget=24", "testbed.zoo.copies=3"],
    "pairwise": ["testbed=pairwise", "testbed/zoo=pairwise_toy", *SAMPLES],
}
QUICK = {
    "ana_fp": ["method.queries.steps=40", "method.queries.candidates=32"],
    "meta_finger": ["method.queries.rounds=2", "method.queries.candidates=24"],
    "adv_tra": ["method.queries.length=8"],  # which the toy budget is a multiple of
    "zest": ["method.queries.masks=30"],
    "zest_few": ["method.queries.masks=30"],
    "relearn_alone": ["method.represent.cap=10"],
    "relearn_time": ["method.represent.cap=4"],
    "lite_guard": ["method.queries.steps=100"],
    "lite_guard_checkpoints": ["method.queries.steps=100"],
    "ipguard": ["method.queries.iterations=200"],
    "cae": ["method.queries.steps=40"],
    "dataset_inference": ["method.queries.examples=40"],
}
"""Settings that take less time than a test may, made smaller."""
MARKED = ["testbed/zoo=toy_watermarked", "testbed.samples.size=400", *FEW]
OWN = {
    ("ewe", "ip_protection"): MARKED,
    ("dataset_inference", "ip_protection"): MARKED,
}
"""Where a method asks for what the toy zoo's random victim has not."""
TWIN = {"ip_protection": "extract_l", "task_relatedness": "encoder", "unlearning": "unrelated", "pairwise": "model"}
"""The role of a copy of the first source."""
BY_MODEL = {
    ("lrp", "ip_protection"): "no rule for SiLU",
    ("lrp", "unlearning"): "no rule for SiLU",
    ("lrp", "pairwise"): "no rule for SiLU",
    ("akh", "unlearning"): "classifies the whole pool correctly",
    ("modelgif/misclassified", "unlearning"): "classifies the whole pool correctly",
}
"""What depends on these very models, and no testbed can offer or not."""
BLIND = {
    (name, "unlearning")
    for name in (
        *("farthest_layer", "fbi_top", "knn_probe", "linear_probe", "mia_loss", "nearest_layer"),
        *("relearn_alone", "relearn_time", "retain_accuracy"),
    )
}
"""Where the toys do not differ in what is asked: random features all, fitted heads without overfitting."""
EVERYWHERE = pytest.mark.parametrize(("name", "toy"), list(product(METHODS, TOYS)))


@cache
def composed(*overrides: str) -> dict:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return OmegaConf.to_container(compose("config", list(overrides)), resolve=True)


@cache
def zoo_of(toy: str, *own: str):
    return instantiate(composed(*TOYS[toy], *own)["testbed"], _convert_="all")


@cache
def method_of(name: str, toy: str):
    quick = QUICK.get(name, ["method.represent.steps=6"] if name.split("/")[0] == "modelgif" else [])
    return instantiate(composed(*TOYS[toy], f"method={name}", *quick)["method"], _convert_="all")


def place_of(name: str, toy: str):
    return zoo_of(toy, *OWN.get((name, toy), []))


def refusal(name: str, toy: str) -> str | None:
    """What a method must say of a testbed, by what the two declare; None if they go together."""
    method, testbed = method_of(name, toy), place_of(name, toy)
    unmet = {*method.needs} - testbed.offers - ({"source"} if method.leak else set())
    known = {model.role for model in testbed.zoo.values()}
    if unmet:
        return "|".join(re.escape(NEEDS[need]) for need in unmet)
    if any(roles and not known & {*roles} for roles in (method.roles or {}).values()):
        return "no model of the zoo has the role"
    return BY_MODEL.get((name, toy))


@EVERYWHERE
def test_a_method_is_finite_repeatable_zero_on_a_twin_nearer_to_a_relative_and_keeps_the_budget_or_says_why_not(
    name, toy
):
    method, testbed = method_of(name, toy), place_of(name, toy)
    if why := refusal(name, toy):
        with pytest.raises(ValueError, match=why):
            measure(testbed, method, CPU)
        with pytest.raises(ValueError):  # what is declared is truly needed  # noqa: PT011
            measure(testbed, replace(method, needs=(), roles=None, leak=False), CPU)
        return
    source, _ = testbed.pairs()[0]
    original = testbed.zoo[source]
    twin = ZooModel("twin", TWIN[toy], "toy", original.load)
    testbed = replace(testbed, zoo={**testbed.zoo, "twin": twin})
    table, cost = measure(testbed, method, CPU)
    queries = method.queries(offered(method, testbed))
    assert same(*(method.represent(original.load(), method.queries(offered(method, testbed))) for _ in range(2)))
    mean = table.mean(axis=1)
    assert mean.notna().all()
    assert mean[source, "twin"] == pytest.approx(0, abs=1e-6)
    if name not in NULLS and (name, toy) not in BLIND:
        related = [pair for pair in mean.index if relatives(*pair, toy)]
        strangers = [pair for pair in mean.index if unrelated(*pair, toy)]
        assert mean[related].mean() < mean[strangers].mean()
    spent = sum(cost[f"cost/{kind}_per_model"] for kind in ("gradient", "forward", "weight_gradient"))
    if queries is None:  # nothing is shown
        assert method.access == "weights"
        assert spent == 0
        return
    assert spent >= testbed.budget
    if "pools" not in method.needs:
        shown = queries.ends if hasattr(queries, "ends") else queries.inputs
        assert len(shown) == testbed.budget
        assert torch.isfinite(shown).all()
        assert 0 <= shown.min() < shown.max() <= 1


@EVERYWHERE
def test_no_method_opens_a_scored_model_to_choose_its_queries_unless_it_says_so(name, toy):
    method, testbed, opened = method_of(name, toy), place_of(name, toy), set()

    def load(model):
        opened.add(model.role)
        return model.load()

    watched = replace(
        testbed, zoo={key: replace(model, load=partial(load, model)) for key, model in testbed.zoo.items()}
    )
    with suppress(ValueError):
        method.queries(offered(method, watched))
    assert method.leak == (name in LEAKS)
    assert bool(opened & testbed.tested_roles) == (toy in LEAKS.get(name, []))
    if refusal(name, toy):
        assert not opened or (name, toy) in BY_MODEL


def same(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if hasattr(one, "_asdict"):
        return same(one._asdict(), other._asdict())
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, torch.nn.Module):
        return same(one.state_dict(), other.state_dict())
    if hasattr(one, "__dict__"):
        return same(vars(one), vars(other))
    return one == other


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_made_of_fragments_and_inherits_from_no_rival(name):
    text = OmegaConf.load(ROOT / "conf" / "method" / f"{name}.yaml")
    own = {"queries", "/method/queries@queries", "/reading@_here_", "_self_"}
    parents = [part if isinstance(part, str) else next(iter(part)) for part in text.get("defaults", [])]
    inherited = [parent for parent in parents if parent not in own]
    assert all(parent.startswith("/method/modelgif") for parent in inherited)
    assert not inherited or name.startswith("modelgif/")


def relatives(source, target, toy):
    if toy == "ip_protection":
        return target.startswith("finetune_a")
    if toy == "unlearning":
        return source.startswith("retrain_calibrate") and target.startswith("retrain-")
    if toy == "pairwise":
        return source.endswith(":small") and target.endswith(":small_copied")
    return source != target and source[:-1] == target[:-1]


def unrelated(source, target, toy):
    if toy == "ip_protection":
        return target.startswith("unrelated_original")
    if toy == "unlearning":
        return source.startswith("retrain_calibrate") and target.startswith("unrelated-")
    if toy == "pairwise":
        return target.endswith(":small_stranger") and source != target
    return source[:-1] != target[:-1] and "twin" not in (source, target)
