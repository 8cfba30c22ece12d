"""What can be forgotten, and the zoo around a reference, on tiny networks."""

from functools import partial

import pytest
import torch
from conftest import ROOT
from hydra.utils import instantiate
from torch import nn

from experiments.interfaces import POOLS, Samples
from experiments.testbeds.unlearning import relabelling, unlearners
from experiments.testbeds.unlearning.facts import accuracies, twins
from experiments.testbeds.unlearning.pools import split
from experiments.testbeds.unlearning.samples import forgotten_digits, forgotten_toy
from experiments.testbeds.unlearning.testbed import HIDDEN, SEEN, SHADOW
from experiments.testbeds.unlearning.zoo import unlearning as zoo_of
from experiments.training.fit import fit


@pytest.mark.parametrize("label", range(10))
def test_any_class_can_be_forgotten(label):
    pools = forgotten_digits(label=label)
    for name in POOLS:
        labels = getattr(pools, name).labels
        assert bool((labels == label).all()) == name.startswith("forget")
        assert bool((labels != label).all()) == name.startswith("retain")
    assert len(pools.everything().inputs) == 1500


@pytest.mark.parametrize("share", [0.01, 0.1])
def test_a_random_share_can_be_forgotten(share):
    pools = forgotten_digits(label=None, share=share)
    assert len(pools.forget.inputs) == 1500 * share
    assert len(pools.retain.inputs) == 1500 * (1 - share)
    assert len(set(pools.forget.labels.tolist())) > 1
    images = [image.numpy().tobytes() for name in POOLS for image in getattr(pools, name).inputs]
    assert len(set(images)) == len(images)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": 10}, "no image of class 10 to forget; the classes are 0, 1"),
        ({"share": 0.0}, "forgets 0 of them"),
        ({"share": 1.0}, "at least one must be forgotten and one retained"),
        ({"label": 1, "share": 0.5}, "one of the two"),
        ({}, "name a class to forget or a share"),
        ({"label": 1, "seed": 3}, "seed=3 would draw a share, and all images of class 1 are forgotten"),
    ],
)
def test_what_cannot_be_forgotten_is_refused(options, message):
    samples = Samples(torch.rand(20, 1, 2, 2), torch.arange(20) % 10)
    with pytest.raises(ValueError, match=message):
        split(samples, samples, classes=10, **options)


def test_forgetting_the_only_class_leaves_nothing():
    samples = Samples(torch.rand(4, 1, 2, 2), torch.zeros(4, dtype=torch.long))
    with pytest.raises(ValueError, match="forgetting class 0 of 4 training and 4 unseen images leaves a pool empty"):
        split(samples, samples, classes=1, label=0)


def network(*, seed, classes=10):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, classes)]
        return nn.Sequential(*layers).eval()


FINETUNE = {"method": partial(unlearners.finetune, epochs=1), "grid": [{"rate": 1e-3}, {"rate": 1e-2}]}


@pytest.fixture
def small(tmp_path):
    """A zoo of tiny networks that takes seconds to make."""

    def made(*, label=9, share=None, **options):
        return zoo_of(
            cache=str(tmp_path),
            label=label,
            network=network,
            train=partial(fit, rate=1e-2),
            epochs=4,
            repelled={"fake_repel": {"epochs": 1}},
            pulled={"fake_pull": {"epochs": 1}},
            approximate={"method": relabelling.approximate, "epochs": 2},
            **{"pools": partial(forgotten_toy, label=label, share=share), "unlearners": {"finetune": FINETUNE}}
            | {"retrains": 3, "copies": 1, "checkpoints": [1, 2]}
            | options,
        )

    return made


def test_a_zoo_is_made_whole_and_only_once(small):
    zoo = small()
    for model in zoo.values():
        model.prepare()
    assert all(model.ready() for model in zoo.values())
    facts = {name: model.facts() for name, model in zoo.items()}
    assert facts["reference"]["accuracy_forget"] > 0.9
    for name in ("retrain-0", "retrain_calibrate-1", "retrain_same_start-0", "rollback-0", "head_suppressed"):
        assert facts[name]["accuracy_forget"] == 0, name
    assert facts["rollback_reference"]["accuracy_forget"] > 0.5
    assert facts["swap_new_with-0"]["accuracy_forget"] > 0.5
    assert facts["swap_saw_without-0"]["accuracy_forget"] == 0
    before = {model.name: model.facts()["seconds"] for model in zoo.values()}
    for model in small().values():
        model.prepare()
    assert {model.name: model.facts()["seconds"] for model in zoo.values()} == before


def test_no_two_scored_models_are_one_and_a_method_that_no_seed_changes_would_be_found_out(small):
    def deaf(model, retain, forget, *, seed):
        return unlearners.finetune(model, retain, forget, seed=0, epochs=1)

    seeded = {"finetune": FINETUNE, "ssd": {"method": partial(unlearners.ssd, alpha=1, batch_size=16)}}
    zoo = small(copies=2, checkpoints=[], unlearners=seeded | {"deaf": {"method": deaf}})
    scored = {name: model for name, model in zoo.items() if model.role not in SEEN | HIDDEN}
    for model in scored.values():
        model.prepare()
    assert {"ssd-1", "fake_pull-1", "head_retrained-1", "logit_shift"} <= set(scored)
    assert twins({name: model.facts() for name, model in scored.items()}) == [("deaf-0", "deaf-1")]


def test_a_retrained_model_starts_with_every_tensor_new_unless_it_shares_the_start(config):
    zoo = instantiate(config("testbed=unlearning")["testbed"]["zoo"], _convert_="all")
    made = {name: zoo[name].prepare.args[0] for name in ("reference", "retrain-0", "retrain_same_start-0")}
    assert made["retrain_same_start-0"].make.keywords["start"] == made["reference"].own_seed
    first, second = (made[name].network(seed=made[name].own_seed).state_dict() for name in ("reference", "retrain-0"))
    drawn = [name for name, tensor in first.items() if tensor.is_floating_point() and tensor.unique().numel() > 1]
    assert len(drawn) > 12  # all but BatchNorm's ones and zeros
    assert not any(torch.equal(first[name], second[name]) for name in drawn)


def test_checkpoints_lead_to_the_final_model_and_a_gap_is_named(small):
    zoo = small()
    zoo["unrelated-0"].prepare()
    states = [zoo[name].load().state_dict() for name in ("unrelated-0@1", "unrelated-0@2", "unrelated-0")]
    distances = [(state["4.weight"] - states[-1]["4.weight"]).norm() for state in states]
    assert distances[0] > distances[1] > distances[2] == 0
    recipe = zoo["unrelated-0"].prepare.args[0]
    recipe.file(1).unlink()
    assert not zoo["unrelated-0"].ready()
    with pytest.raises(FileNotFoundError, match=r"checkpoints \[1, 2\] of unrelated-0 have a gap"):
        zoo["unrelated-0@1"].load()
    zoo["unrelated-0"].prepare()
    assert torch.equal(zoo["unrelated-0@1"].load().state_dict()["4.weight"], states[0]["4.weight"])


def test_a_shorter_approximate_unlearning_ends_its_curve_and_is_ready(small):
    zoo = small(checkpoints=[1, 2, 3])
    found = {role: [m for m in zoo.values() if m.role == role] for role in ("approximate", "retrain", "unrelated")}
    assert [model.epoch for model in found["approximate"]] == 3 * [1, None]  # its end, after 2, is measured once
    assert [model.epoch for model in found["retrain"]] == 3 * [1, 2, 3, None]
    assert {model.epochs for model in found["approximate"]} == {2}
    assert {model.epochs for model in found["retrain"] + found["unrelated"]} == {4}
    zoo["approximate-0"].prepare()
    assert zoo["approximate-0@1"].ready()


def test_checkpoints_beyond_the_training_are_refused(small):
    with pytest.raises(ValueError, match=r"must lie before the end of training, after epoch 4, unlike \[0, 4, 5\]"):
        small(checkpoints=[0, 1, 3, 4, 5])


@pytest.mark.parametrize(("label", "forgotten", "said"), [(3, 9, "3"), (None, 9, "null"), (9, None, "9")])
def test_a_label_that_is_not_what_the_pools_forget_is_refused(label, forgotten, said, small):
    pools = partial(forgotten_toy, label=forgotten, share=None)
    with pytest.raises(ValueError, match=rf"label is {said}, .* is (9|null); set testbed\.zoo\.pools\.label alone"):
        small(label=label, pools=pools)
    for own in (forgotten_toy, partial(forgotten_toy, seed=1)):  # told no label, they are taken as they are
        assert "reference" in small(label=label, pools=own)


def test_more_copies_than_there_are_heads_to_swap_are_refused(small):
    with pytest.raises(ValueError, match=r"copies must be at most retrains, 3, not 4: .* raise retrains"):
        small(copies=4)
    assert "fake_pull-3" in small(copies=4, label=None, share=0.1)


def test_of_a_grid_the_model_with_the_least_average_gap_is_taken(small):
    zoo = small()
    zoo["finetune-0"].prepare()
    recipe = zoo["finetune-0"].prepare.args[0]
    pools = recipe.data()
    parents = [zoo[parent.name].load() for parent in recipe.parents]
    wanted = accuracies(parents[1], pools)

    def gap(model):
        found = accuracies(model, pools)
        return sum(abs(found[name] - wanted[name]) for name in ("forget", "retain", "retain_unseen"))

    candidates = [
        unlearners.finetune(parents[0], pools.retain, pools.forget, seed=recipe.own_seed, epochs=1, rate=rate)
        for rate in (1e-3, 1e-2)
    ]
    assert gap(zoo["finetune-0"].load()) == pytest.approx(min(map(gap, candidates)))
    assert gap(candidates[0]) != gap(candidates[1])


def test_shadows_start_from_other_references_and_are_never_scored(small):
    zoo = small(shadows=2)
    shadows = [model.prepare.args[0] for model in zoo.values() if model.role == "shadow_finetune"]
    assert [recipe.name for recipe in shadows] == ["shadow_finetune-0", "shadow_finetune-1"]
    assert {recipe.parents[0].role for recipe in shadows} == {"unrelated_calibrate"}
    assert shadows[0].role.startswith(SHADOW)


def test_a_share_is_forgotten_without_controls_of_one_class(small):
    roles = {model.role for model in small(label=None, share=0.1).values()}
    assert "logit_shift" in roles
    assert not roles & {"head_zeroed", "head_suppressed", "head_retrained", "swap_saw_without", "approximate"}


def test_a_reference_from_elsewhere_is_taken_as_it_is_and_must_know_the_classes(small):
    given = network(classes=10, seed=7)
    zoo = small(weights=partial(network, seed=7))
    zoo["reference"].prepare()
    assert torch.equal(zoo["reference"].load().state_dict()["4.weight"], given.state_dict()["4.weight"])
    assert "retrain_same_start-0" not in zoo
    with pytest.raises(ValueError, match="has 3 outputs for 10 classes"):
        small(weights=partial(network, seed=0, classes=3))["reference"].prepare()


@pytest.mark.slow
def test_a_dry_run_needs_no_data_and_scores(command):
    settings = [
        "testbed=unlearning",
        "testbed/zoo=unlearning_cifar100",
        "dry_run=true",
        "method=modelgif_plus",
        "testbed.zoo.network.depth=8",
        "workers=1",
    ]
    done = command(str(ROOT / "run.py"), *settings)
    assert done.returncode == 0, done.stderr
    assert "auc/retrains/all" in done.stdout
    assert "everything fits together" in done.stdout
    refused = command(str(ROOT / "run.py"), "dry_run=true")
    assert refused.returncode == 1
    assert "has no dry run" in refused.stderr
