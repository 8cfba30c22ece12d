"""What a testbed offers meets what a method needs, or the method is refused before any work."""

from dataclasses import dataclass, replace

import pytest
import torch
from conftest import TOY, options
from hydra.utils import instantiate

from experiments.interfaces import NEEDS, Method, Samples, ZooModel
from experiments.job import run
from experiments.offers import offered, refuse_learnt, refuse_unmet


@dataclass(frozen=True)
class Place:
    """Models that are looked up and never loaded."""

    zoo: dict
    samples: Samples
    budget: int = 2
    tested_roles: frozenset = frozenset({"suspect"})
    reserved_roles: frozenset = frozenset()
    offers: frozenset = frozenset({"source"})

    def pairs(self):
        return [("victim-0", "suspect-0")]


NEEDY = ("akh", "dataset_inference", "ewe", "linear_probe", "zest")
"""Methods that together have every need."""


def never():
    raise AssertionError("nothing needs to be opened")


def place(**changes):
    names = [f"{role}-{number}" for role in ("victim", "suspect", "held_out") for number in range(2)]
    zoo = {name: ZooModel(name, name[:-2], "toy", never) for name in names}
    return replace(Place(zoo, Samples(torch.rand(3, 1, 2, 2))), **changes)


def method(**declared):
    return Method(never, never, never, "label", "Mine", **declared)


@pytest.mark.parametrize("need", NEEDS)
def test_a_need_that_is_not_offered_is_refused_by_its_sentence_which_names_a_remedy(need):
    with pytest.raises(ValueError, match=r"^Mine ") as refusal:
        refuse_unmet(method(needs=[need]), place(offers=frozenset(NEEDS) - {need}))
    assert str(refusal.value) == f"Mine {NEEDS[need]}"
    assert "; take " in NEEDS[need] or "; for encoders take " in NEEDS[need]
    refuse_unmet(method(needs=[need]), place(offers=frozenset({need})))


@pytest.mark.parametrize("need", NEEDS)
def test_a_need_is_that_of_some_method_and_offered_by_some_testbed_but_not_by_all(need, config):
    declared = {name: config(f"method={name}")["method"].get("needs", []) for name in NEEDY}
    assert any(need in needs for needs in declared.values())
    places = [
        instantiate(config(f"testbed={name}", *quick)["testbed"], _convert_="all")
        for name, quick in (
            ("ip_protection", [*TOY, "testbed/zoo=toy_watermarked"]),
            ("task_relatedness", ["testbed/zoo=toy_tasks", "testbed/samples=toy"]),
            ("unlearning", ["testbed/zoo=toy_forgetting"]),
            ("pairwise", ["testbed/zoo=pairwise_toy", "testbed/samples=toy"]),
        )
    ]
    assert len(places) == len(options("testbed"))
    assert 0 < sum(need in testbed.offers for testbed in places) < len(places) + (need == "labels")
    if need == "labels":
        bare = replace(places[0], samples=places[0].samples._replace(labels=None))
        assert need not in bare.offers


def test_needs_that_do_not_exist_are_refused_by_name_on_both_sides():
    with pytest.raises(ValueError, match="Mine: there is no need 'luck'; the needs are classifiers, equal_classes"):
        method(needs=["luck"])
    with pytest.raises(ValueError, match="there is no need 'luck' to offer; the needs are classifiers"):
        refuse_unmet(method(), place(offers=frozenset({"luck"})))


def test_a_leak_that_permits_nothing_is_refused():
    with pytest.raises(ValueError, match="Mine: leak=true permits nothing to a method that opens no models"):
        method(leak=True)


def test_roles_that_are_scored_or_that_no_model_has_are_refused():
    for roles in (["suspect"], ["held_out", "suspect"]):
        with pytest.raises(ValueError, match=r"Mine: roles \['suspect'\] \(far\) are scored by this testbed"):
            refuse_unmet(method(roles={"far": roles}), place())
    with pytest.raises(
        ValueError, match=r"no model of the zoo has the role 'shadow' \(far\); the roles are held_out, susp"
    ):
        refuse_unmet(method(roles={"far": ["shadow"]}), place())
    with pytest.raises(ValueError, match=r"has the role 'held_ouf' \(far\); did you mean held_out\? The roles are"):
        refuse_unmet(method(roles={"far": ["held_out", "held_ouf"]}), place())
    refuse_unmet(method(roles={"far": ["held_out"], "near": []}), place())


def test_queries_see_what_the_method_declares_and_no_more():
    bare = offered(method(), place())
    assert (bare.source, bare.models, bare.pools) == (None, {}, None)
    assert bare.budget == 2
    full = offered(method(needs=["source"], roles={"far": ["held_out"], "near": []}), place())
    assert full.source.name == "victim-0"
    assert {use: [model.name for model in models] for use, models in full.models.items()} == {
        "far": ["held_out-0", "held_out-1"],
        "near": [],
    }


def test_a_source_that_is_scored_and_scored_roles_are_seen_by_those_alone_who_say_so():
    scored = place(tested_roles=frozenset({"victim", "suspect"}), offers=frozenset())
    for testbed in (scored, replace(scored, offers=frozenset({"source"}))):
        with pytest.raises(ValueError, match="the source model, which is itself scored here"):
            offered(method(needs=["source"]), testbed)
    seen = offered(method(needs=["source"], roles={"far": ["suspect"]}, leak=True), scored)
    assert seen.source.name == "victim-0"
    assert [model.role for model in seen.models["far"]] == ["suspect"] * 2


@pytest.mark.parametrize("toys", [TOY, ["testbed=unlearning", "testbed/zoo=toy_forgetting"]])
def test_a_testbed_offers_a_source_only_if_it_is_not_scored(toys, config):
    testbed = instantiate(config(*toys)["testbed"], _convert_="all")
    source, _ = testbed.pairs()[0]
    assert "source" in testbed.offers
    assert testbed.zoo[source].role not in testbed.tested_roles


def test_a_method_is_refused_before_any_model_is_made(config, tmp_path):
    untrained = config("testbed=task_relatedness", "method=agreement", f"cache={tmp_path}", "testbed/samples=toy")
    with pytest.raises(ValueError, match="Label agreement reads labels or logits"):
        run(untrained, tmp_path)
    assert not list(tmp_path.iterdir())


def test_models_that_a_testbed_keeps_for_itself_choose_nothing_but_in_a_replication():
    kept = place(reserved_roles=frozenset({"held_out"}))
    with pytest.raises(
        ValueError, match=r"Mine: roles \['held_out'\] \(far\) are kept by this testbed for its own use"
    ):
        refuse_unmet(method(roles={"far": ["held_out"]}), kept)
    refuse_unmet(method(roles={"far": ["held_out"]}, leak=True), kept)
    refuse_unmet(method(roles={"far": ["held_out"]}), place())


@pytest.mark.parametrize(
    "words",
    [
        ["method=modelgif/separating", "method.roles.far=[held_out_original]", *TOY],
        [
            *("testbed=unlearning", "testbed/zoo=toy_forgetting", "method=modelgif_plus"),
            "gauge.roles.alike=[retrain_tune,retrain_cheat]",
        ],
    ],
)
def test_a_testbed_keeps_what_calibrates_or_was_cheated_with(words, config):
    composed = config(*words)
    made, testbed = (instantiate(composed[part], _convert_="all") for part in ("method", "testbed"))
    with pytest.raises(ValueError, match="are kept by this testbed"):
        refuse_unmet(made, testbed)


@pytest.mark.parametrize("known", ["learnt", "taught"])
def test_samples_that_a_model_learnt_from_are_refused_but_for_the_few_that_a_data_set_holds_twice(known):
    images = torch.rand(300, 1, 2, 2)

    def told(first):
        part = images[first : first + 100]
        tells = {"learnt": lambda: [part[:50], part[50:]], "taught": lambda: Samples(part)}
        victim = ZooModel("victim-0", "victim", "toy", never, **{known: tells[known]})
        return place(zoo={"victim-0": victim}, samples=Samples(images[100:200]))

    for apart in (0, 1, 200):
        refuse_learnt(told(apart))
    with pytest.raises(ValueError, match=r"^60 of the 100 images of testbed\.samples .*; leave testbed\.samples as it"):
        refuse_learnt(told(60))  # of which the last 60 are in the pool
    refuse_learnt(place())


def test_digits_of_another_draw_than_the_zoos_are_refused_before_any_training(config, tmp_path):
    given = [f"{key}={tmp_path}" for key in ("results", "cache")]
    refuse_learnt(instantiate(config("seed=1")["testbed"], _convert_="all"))
    with pytest.raises(ValueError, match=r"\d+ of the 600 images of testbed\.samples are among those that models of"):
        run(config("seed=1", "testbed.samples.draw=0", *given), tmp_path / "run")
    assert not list(tmp_path.iterdir())
