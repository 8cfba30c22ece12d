"""Verifiers of unlearning: what each must say of models whose knowledge is known, what it is blind to and refuses."""

import copy
import math
from dataclasses import dataclass, replace
from functools import cache, partial

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, one_hot

from experiments.interfaces import NEEDS, POOLS, Method, Pools, Samples, Zoo, ZooModel
from experiments.measure import measure
from experiments.methods.features import similarity
from experiments.methods.knowledge import accuracy, answers, lira, probes, relearn
from experiments.methods.outputs import pointwise, zrf
from experiments.networks.perturbed import perturbed
from experiments.networks.reinitialised import reinitialised
from experiments.offers import offered
from experiments.testbeds.ip_protection.toy import network
from experiments.testbeds.unlearning.fakes import head_suppressed
from experiments.testbeds.unlearning.pools import split
from experiments.testbeds.unlearning.samples import forgotten_toy

FORGOTTEN = 9
SCALARS = [
    "forget_accuracy",
    "forget_unseen_accuracy",
    "retain_accuracy",
    "test_accuracy",
    "class_rank",
    "linear_probe",
    "knn_probe",
    "relearn_time",
    "relearn_alone",
    "mia_entropy",
    "mia_loss",
]
BY_POOLS = [*SCALARS, "lira", "lira_pooled"]
RELEARN = ["relearn_time", "relearn_alone"]
BY_SAMPLES = ["activation_distance", "zrf", "zest", "cka_penultimate"]


@dataclass(frozen=True)
class Standin:
    zoo: Zoo
    samples: Samples
    pools: object = forgotten_toy
    budget: int = 12
    tested_roles: frozenset[str] = frozenset({"unlearned"})
    offers: frozenset[str] = frozenset(NEEDS)

    def pairs(self):
        return [("original", "twin"), ("original", "unlearned")]


def standin():
    loads = {"original": partial(network, 0), "twin": partial(network, 0), "unlearned": partial(network, 1)}
    zoo = {name: ZooModel(name, name, "toy", load) for name, load in loads.items()}
    for number in range(3):
        for role, seed in (("retrain_calibrate", 50), ("unrelated_calibrate", 0)):
            load = partial(perturbed, 0.05, number, partial(network, seed))
            zoo[f"{role}-{number}"] = ZooModel(f"{role}-{number}", role, "toy", load)
    return Standin(zoo, forgotten_toy().retain_unseen)


@dataclass(frozen=True)
class Striped:
    """Images whose brightest row names the class: a linear model can know all of it."""

    pools: Pools
    model: nn.Sequential


@cache
def striped(noise=0.1):
    def images(count, seed):
        generator = torch.Generator().manual_seed(seed)
        labels = torch.arange(count) % 10
        inputs = 0.8 * one_hot(labels, 10).float()[:, None, :, None].expand(-1, 1, 10, 4)
        return Samples(inputs + noise * torch.rand(inputs.shape, generator=generator), labels)

    model = nn.Sequential(nn.Flatten(), nn.Linear(40, 10), nn.Linear(10, 10)).eval()
    with torch.no_grad():
        for layer in (model[1], model[2]):
            layer.weight.zero_()
            layer.bias.zero_()
        model[1].weight[torch.arange(40) // 4, torch.arange(40)] = 1.0
        model[2].weight.copy_(10 * torch.eye(10))
    return Striped(split(images(200, 0), images(100, 1), classes=10, label=FORGOTTEN), model)


class Given(nn.Module):
    """Answers with the logits that its single-pixel images index."""

    def __init__(self, table):
        super().__init__()
        self.register_buffer("table", table)

    def forward(self, inputs):
        return self.table[inputs.flatten(1)[:, 0].long()]


def listed(tables, labels=None):
    """Pools of numbered images, and the model that gives them these logits (forget, forget_unseen, retain, ...)."""
    ends = torch.tensor([len(table) for table in tables]).cumsum(0).tolist()
    numbers = torch.arange(ends[-1]).float()[:, None, None, None].tensor_split(ends[:-1])
    labels = [torch.zeros(len(table), dtype=torch.long) for table in tables] if labels is None else labels
    parts = [Samples(*pair) for pair in zip(numbers, labels, strict=True)]
    return Given(torch.cat(tables)), Pools(*parts, classes=tables[0].shape[1], label=None)


@pytest.mark.parametrize("name", [*BY_POOLS, *BY_SAMPLES])
def test_a_verifier_repeats_itself_is_zero_on_a_twin_and_leaves_the_model_as_it_was(name, method):
    overrides = {"zest": ["method.queries.masks=60"]} | {key: ["method.represent.cap=3"] for key in RELEARN}
    verifier = method(name, *overrides.get(name, []))
    assert isinstance(verifier, Method)
    testbed = standin()
    table, cost = measure(testbed, verifier, torch.device("cpu"))
    again, _ = measure(testbed, verifier, torch.device("cpu"))
    assert table.equals(again)
    assert (
        table.loc[("original", "twin")] <= 1e-15
    ).all()  # on some processors the cosine of equal matrices is 1 - eps
    assert (table >= 0).all(axis=None)
    assert cost["cost/forward_per_model"] > 0

    model = network(0)
    before = copy.deepcopy(model.state_dict())
    verifier.represent(model, verifier.queries(offered(verifier, testbed)))
    assert not model.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


@pytest.mark.parametrize("name", SCALARS)
def test_a_verifier_that_judges_a_pool_gives_one_number(name, method):
    verifier = method(name)
    zoo = {"original": ZooModel("original", "original", "toy", lambda: striped().model)}
    testbed = Standin(zoo, striped().pools.retain, lambda: striped().pools)
    found = verifier.represent(striped().model, verifier.queries(offered(verifier, testbed)))
    assert found.shape == ()
    assert found >= 0


@pytest.mark.parametrize("name", BY_POOLS)
def test_a_verifier_needs_a_testbed_that_forgets(name, method):
    plain = replace(standin(), offers=frozenset(NEEDS) - {"pools"})
    with pytest.raises(ValueError, match="needs pools of images to forget and to retain; take testbed=unlearning"):
        offered(method(name), plain)


@pytest.mark.parametrize("pool", POOLS)
def test_accuracy_and_rank_of_models_that_know_all_or_all_but_one_class(pool):
    pools, knowing = striped().pools, striped().model
    suppressed = head_suppressed(knowing, FORGOTTEN)
    known = float(not pool.startswith("forget"))
    assert accuracy.pool_accuracy(knowing, pools, pool=pool) == 1
    assert accuracy.class_rank(knowing, pools, pool=pool) == 0
    assert accuracy.pool_accuracy(suppressed, pools, pool=pool) == known
    assert accuracy.class_rank(suppressed, pools, pool=pool) == 1 - known


def test_accuracy_and_rank_have_their_textbook_values():
    logits = torch.tensor([[3.0, 2, 1], [2, 3, 1], [1, 3, 2], [1, 1, 1]])
    model, pools = listed([logits] * 4)
    assert accuracy.pool_accuracy(model, pools, pool="forget") == 0.5  # the first of equal logits is the answer
    assert accuracy.class_rank(model, pools, pool="forget") == pytest.approx((0 + 0.5 + 1 + 0.5) / 4)
    assert answers.gap(torch.tensor(0.25), torch.tensor(1.0)) == 0.75


@pytest.mark.parametrize("measured", [accuracy.pool_accuracy, accuracy.class_rank, lira.confidence])
def test_unknown_pools_and_unfit_models_are_refused(measured):
    with pytest.raises(ValueError, match=r"one of forget, forget_unseen, retain, retain_unseen, not 'test'"):
        measured(network(0), forgotten_toy(), pool="test")
    with pytest.raises(ValueError, match="classifier of 10 classes"):
        measured(nn.Flatten(), forgotten_toy(), pool="forget")


@pytest.mark.parametrize("probe", [probes.linear_probe, probes.nearest_neighbours])
def test_probes_are_blind_to_the_head_and_see_what_the_features_lost(probe):
    pools, knowing = striped().pools, striped().model
    assert probe(knowing, pools) == 1
    zeroed = copy.deepcopy(knowing)
    nn.init.zeros_(zeroed[2].weight)
    assert accuracy.pool_accuracy(zeroed, pools, pool="forget_unseen") == 0
    assert probe(zeroed, pools) == 1
    scrubbed = copy.deepcopy(knowing)
    with torch.no_grad():
        scrubbed[1].weight[0] = scrubbed[1].weight[FORGOTTEN]  # what classes 0 and 9 do to the features is the same
        scrubbed[1].weight[[0, FORGOTTEN]] = 0
    assert probe(scrubbed, pools) < 0.9


def test_probes_refuse_what_they_cannot_read():
    with pytest.raises(ValueError, match=r"between 1 and the 200 training images, not 0"):
        probes.nearest_neighbours(striped().model, striped().pools, k=0)
    with pytest.raises(ValueError, match=r"no nn\.Linear"):
        probes.linear_probe(nn.Flatten(), striped().pools)


def again(way, model, *, until=0.05, **settings):
    """Relearning on all images or on the forgotten ones alone, to the same loss."""
    pools = striped().pools
    if way == "relearn_time":
        return relearn.relearn_time(model, relearn.Lesson(pools, goal=until), seed=0, **settings)
    return relearn.relearn_alone(model, pools, seed=0, until=until, **settings)


@pytest.mark.parametrize("way", RELEARN)
def test_relearning_is_instant_for_a_model_that_knows_and_capped_for_one_that_cannot_learn(way):
    knowing = striped().model
    assert again(way, knowing, cap=4) == 0
    assert 0 < again(way, head_suppressed(knowing, FORGOTTEN, by=50), rate=0.1, cap=90) < 90
    stuck = Given(torch.zeros(1, 10))
    stuck.weight = nn.Parameter(torch.zeros(1))
    stuck.forward = lambda inputs: inputs.new_zeros(len(inputs), 10) + 0 * stuck.weight
    assert again(way, stuck, cap=4) == 4


@pytest.mark.parametrize("way", RELEARN)
def test_relearning_keeps_the_statistics_of_batch_norm_and_uses_as_many_images_as_it_may(way):
    seen = []
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(40), nn.Linear(40, 10)).eval()
    model.register_forward_pre_hook(lambda module, inputs: seen.append((len(inputs[0]), module[1].training)))
    again(way, model, samples=15, cap=2, until=1e-9)
    assert not any(training for _, training in seen)
    looked_at = len(striped().pools.forget.inputs) if way == "relearn_time" else 15
    assert sum(count for count, _ in seen) == 3 * looked_at + 2 * 15  # a look at the loss, and after each pass another


def test_relearning_as_published_mixes_all_training_images_and_asks_for_the_loss_of_the_source(method):
    pools, shown = striped().pools, []
    model = nn.Sequential(nn.Flatten(), nn.Linear(40, 10)).eval()
    model.register_forward_pre_hook(
        lambda _, inputs: shown.append(inputs[0].flatten(1)) if torch.is_grad_enabled() else None
    )
    again("relearn_time", model, cap=1, until=1e-9)
    drawn = torch.cat(shown)
    assert len(drawn) == 500
    assert len(drawn.unique(dim=0)) == pytest.approx(
        200 * (1 - (1 - 1 / 200) ** 500), abs=12
    )  # of 200, with replacement
    zoo = {"original": ZooModel("original", "original", "toy", lambda: striped().model)}
    lesson = relearn.as_the_source_knew(offered(method("relearn_time"), Standin(zoo, pools.forget, lambda: pools)))
    loss = cross_entropy(striped().model(pools.forget.inputs), pools.forget.labels)
    assert lesson.goal == pytest.approx(loss.item() + 1e-5, abs=1e-6)


@pytest.mark.parametrize("way", RELEARN)
def test_relearning_refuses_settings_that_make_no_sense_and_what_explodes_has_not_learnt(way):
    for setting in ({"cap": 0}, {"samples": 0}):
        with pytest.raises(ValueError, match="must be above 0, not 0"):
            again(way, striped().model, **setting)
    assert again(way, head_suppressed(striped().model, FORGOTTEN), rate=1e20, cap=7) == 7


def test_activation_distance_runs_from_zero_to_the_root_of_two():
    one, other = torch.tensor([[80.0, 0, 0]]), torch.tensor([[0, 80.0, 0]])
    assert pointwise.activation_distance(one, one).item() == 0
    assert pointwise.activation_distance(one, one + 5).item() == pytest.approx(0)
    assert pointwise.activation_distance(one, other).item() == pytest.approx(math.sqrt(2))
    with pytest.raises(ValueError, match="one shape"):
        pointwise.activation_distance(one, torch.zeros(1, 4))


def test_zero_retrain_forgetting_is_one_for_the_untrained_network_itself_and_low_for_one_that_is_sure():
    samples, model = forgotten_toy().forget, network(0)
    assert zrf.zero_retrain_forgetting(reinitialised(model, 3), samples, seed=3) == 1
    assert zrf.zero_retrain_forgetting(reinitialised(model, 3), samples, seed=4) < 1
    opposed = copy.deepcopy(model)
    with torch.no_grad():
        opposed[-1].bias[0] += 1000
    # The untrained network is nearly uniform: H(m) - H(one-hot) / 2 - H(uniform) / 2 bits.
    bits = -(0.55 * math.log2(0.55) + 9 * 0.05 * math.log2(0.05)) - math.log2(10) / 2
    found = zrf.zero_retrain_forgetting(opposed, samples, seed=3)
    assert found == pytest.approx(1 - bits, abs=0.03)
    assert 0 <= found < 1


def test_cka_of_penultimate_features_is_blind_to_the_head():
    samples = forgotten_toy().retain_unseen
    model = network(0)
    features = similarity.penultimate_features(model, samples)
    torch.testing.assert_close(features, model[:-1](samples.inputs).detach())
    assert torch.equal(similarity.penultimate_features(head_suppressed(model, FORGOTTEN), samples), features)
    with pytest.raises(ValueError, match=r"no nn\.Linear"):
        similarity.penultimate_features(nn.Flatten(), samples)
