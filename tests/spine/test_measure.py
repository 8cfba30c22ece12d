"""The loop: what it opens, holds, prepares, counts and refuses."""

import copy
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations

import pytest
import torch
from conftest import TOY
from hydra.utils import instantiate
from torch import nn

from experiments import measure as loop
from experiments.interfaces import Method, Samples, ZooModel
from experiments.measure import measure
from experiments.queries.paths import paths
from experiments.queries.samples import random_samples
from experiments.queries.starts import black
from experiments.testbeds.ip_protection import toy
from modelgif_core import cosine, euclidean, extract_field, pairwise_cosine

CPU = torch.device("cpu")
SHOWN = partial(paths, choose=partial(random_samples, seed=0), start=black)
FIELDS = Method(
    SHOWN, partial(extract_field, steps=3), cosine, "input-gradient", "fields", steps=3, pairwise=pairwise_cosine
)
GB = 1e-9
PATH = 3 * 64 * 4 * GB
"""What a path's field of three steps takes on grey images of 8 x 8."""
NETWORK = sum(parameter.nbytes for parameter in toy.network(0).parameters()) * GB


@dataclass(frozen=True)
class Place:
    """Toy networks, compared as asked."""

    zoo: dict
    compared: tuple
    samples: Samples
    budget: int = 12
    tested_roles: frozenset = frozenset()
    offers: frozenset = frozenset()

    def pairs(self):
        return list(self.compared)


@pytest.fixture
def loads():
    return []


@pytest.fixture
def all_meet_all(loads):
    return place(loads, combinations("abcde", 2))


@pytest.fixture
def one_meets_all(loads):
    return place(loads, [("a", other) for other in "bcde"])


@pytest.fixture
def parts(config):
    def made(*overrides):
        composed = config(*TOY, *overrides)
        return tuple(instantiate(composed[part], _convert_="all") for part in ("testbed", "method"))

    return made


def place(loads, pairs):
    def load(name):
        loads.append(name)
        return toy.network(ord(name))

    zoo = {name: ZooModel(name, "any", "toy", partial(load, name)) for name in "abcde"}
    images = torch.rand(12, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return Place(zoo, tuple(pairs), Samples(images))


def test_distances_do_not_depend_on_the_chunk_or_on_what_is_held(all_meet_all, one_meets_all):
    whole, _ = measure(all_meet_all, FIELDS, CPU, chunk=100)
    for method in (FIELDS, replace(FIELDS, pairwise=None)):
        for chunk, memory in ((1, 4), (1, 0), (100, 15 * PATH)):
            table, _ = measure(all_meet_all, method, CPU, chunk=chunk, memory_gb=memory)
            assert (whole - table).abs().max().max() < 1e-5
            rows, _ = measure(one_meets_all, method, CPU, chunk=chunk, memory_gb=memory)
            assert (whole.loc[rows.index] - rows).abs().max().max() < 1e-5


def test_where_one_meets_all_every_model_is_opened_once(one_meets_all, loads):
    measure(one_meets_all, FIELDS, CPU, chunk=1)
    assert sorted(loads) == list("abcde")


def test_where_all_meet_all_models_stay_open_as_far_as_there_is_room(all_meet_all, loads):
    measure(all_meet_all, replace(FIELDS, steps=50), CPU, chunk=3)  # four chunks
    assert sorted(loads) == list("abcde")
    loads.clear()
    measure(all_meet_all, replace(FIELDS, steps=50), CPU, chunk=3, memory_gb=2.5 * NETWORK)
    often = Counter(loads)
    assert sorted(often.values()) == [1, 1, *[often["e"]] * 3]
    assert often["e"] > 1


@pytest.mark.parametrize(("memory", "together"), [(4, 12), (5 * PATH, 5), (12 * PATH, 12), (0, 1)])
def test_as_many_paths_of_the_source_are_held_as_fit_before_the_others_are_opened(
    memory, together, one_meets_all, monkeypatch
):
    shown = []
    monkeypatch.setattr(loop.misfit, "represented", partial(recorded, shown, loop.misfit.represented))
    measure(one_meets_all, replace(FIELDS, steps=3), CPU, chunk=1, memory_gb=memory)
    first = next(position for position, (name, _) in enumerate(shown) if name != "a")
    assert sum(count for _, count in shown[:first]) == together


def test_where_all_meet_all_a_chunk_is_as_large_as_lets_everybodys_field_fit(all_meet_all, monkeypatch):
    shown = []
    monkeypatch.setattr(loop.misfit, "represented", partial(recorded, shown, loop.misfit.represented))
    measure(all_meet_all, FIELDS, CPU, chunk=100, memory_gb=4 * 3.5 * PATH)
    assert {count for _, count in shown} == {3}


def recorded(shown, represented, method, model, queries, name, example):
    shown.append((name, len(queries)))
    return represented(method, model, queries, name, example)


def test_models_that_choose_the_queries_are_opened_once_for_both(one_meets_all, loads):
    def chosen(offered):
        assert offered.source.load() is not None
        return SHOWN(offered)

    served = replace(one_meets_all, offers=frozenset({"source"}))
    measure(served, replace(FIELDS, queries=chosen, needs=["source"]), CPU, chunk=1)
    assert sorted(loads) == list("abcde")


def test_a_model_is_prepared_once_whatever_the_chunks_and_what_that_shows_it_is_counted(one_meets_all, all_meet_all):
    prepared = []

    def prepare(model, example):
        assert example.shape == (1, 1, 8, 8)
        prepared.append(model)
        with torch.no_grad():
            model(example)
        return copy.deepcopy(model)

    for testbed in (one_meets_all, all_meet_all):
        prepared.clear()
        _, plain = measure(testbed, FIELDS, CPU, chunk=1)
        _, cost = measure(testbed, replace(FIELDS, prepare=prepare), CPU, chunk=1)
        assert len(prepared) == 5
        assert cost["cost/forward_per_model"] == plain["cost/forward_per_model"] + 1
        assert cost["cost/gradient_per_model"] == plain["cost/gradient_per_model"] == 3 * 12


def test_products_that_are_not_the_methods_own_distance_are_refused(all_meet_all, one_meets_all):
    other = replace(FIELDS, distance=euclidean)
    with pytest.raises(ValueError, match=r"fields: .* are not its own; set method\.pairwise=null"):
        measure(all_meet_all, other, CPU)
    measure(one_meets_all, other, CPU)  # where not all pairs are measured, there are no products
    own, _ = measure(all_meet_all, replace(other, pairwise=None), CPU)
    assert own.notna().all(axis=None)


def test_steps_of_queries_that_are_no_paths_are_refused(one_meets_all):
    method = replace(FIELDS, queries=partial(random_samples, seed=0))
    with pytest.raises(ValueError, match="steps are those of paths, and its queries are Samples"):
        measure(one_meets_all, method, CPU)


def test_cost_counts_gradients_and_forwards_apart_and_the_trial_with_the_selection(parts):
    testbed, method = parts("method=gradient_x_input")
    _, cost = measure(testbed, method, CPU)
    assert cost["cost/gradient_per_model"] == cost["cost/forward_per_model"] == testbed.budget
    assert cost["cost/forward_selection"] == 1
    assert cost["cost/gradient_selection"] == cost["cost/weight_gradient_per_model"] == 0
    _, cost = measure(*parts("method=agreement"), CPU)
    assert cost["cost/gradient_per_model"] == 0
    assert cost["cost/forward_per_model"] == testbed.budget


def test_what_trains_weights_is_counted_as_their_gradients():
    cost = loop.Cost()
    model = nn.Linear(2, 1)
    cost.count(model, torch.rand(3, 2))
    cost.count(model, torch.rand(4, 2, requires_grad=True))
    cost.count(model.requires_grad_(False), torch.rand(5, 2))
    with torch.no_grad():
        cost.count(model, torch.rand(6, 2, requires_grad=True))
    assert cost == loop.Cost(forward=11, gradient=4, weight_gradient=3)


def test_relearning_costs_gradients_of_weights(config):
    quick = [
        "testbed/zoo=toy_forgetting",
        "testbed.zoo.copies=3",
        "method.represent.cap=2",
        "method.represent.samples=9",
    ]
    composed = config("testbed=unlearning", "method=relearn_time", *quick)
    testbed, method = (instantiate(composed[part], _convert_="all") for part in ("testbed", "method"))
    _, cost = measure(testbed, method, CPU)
    assert 0 < cost["cost/weight_gradient_per_model"] <= 2 * 9
    assert cost["cost/gradient_per_model"] == 0


def test_progress_runs_to_its_end(all_meet_all):
    told = []
    measure(all_meet_all, FIELDS, CPU, chunk=1, progress=lambda done, total: told.append(done / total))
    assert told == sorted(told)
    assert told[-1] == 1


def test_a_model_that_ignores_its_input_is_refused_by_name(parts):
    testbed, method = parts("method.represent.steps=3")
    blind = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    nn.init.zeros_(blind[1].weight)
    zoo = {**testbed.zoo, "blind": ZooModel("blind", "extract_l", "toy", lambda: blind)}
    testbed = replace(testbed, zoo=zoo)
    table, _ = measure(testbed, method, CPU)
    with pytest.raises(ValueError, match=r"blind.*does not depend on its input"):
        testbed.score(table)


@pytest.mark.parametrize("name", ["modelgif", "integrated_gradients", "agreement", "jsd", "sac_m"])
def test_a_model_with_broken_weights_is_refused_by_name(name, parts):
    testbed, method = parts(f"method={name}")
    broken = copy.deepcopy(toy.network(0))
    with torch.no_grad():
        broken[0].weight[0] = torch.nan
    zoo = {**testbed.zoo, "broken": ZooModel("broken", "extract_l", "toy", lambda: broken)}
    with pytest.raises(ValueError, match=r"broken.*not finite"):
        measure(replace(testbed, zoo=zoo), method, CPU)


@pytest.mark.parametrize("name", ["modelgif", "agreement", "modelgif/separating"])
def test_a_later_model_that_the_samples_do_not_fit_is_named_with_their_shape(name, parts, without_shape_checks):
    testbed, method = parts(f"method={name}")
    wide = nn.Sequential(nn.Flatten(), nn.Linear(400, 10))
    role = "independent" if name == "modelgif/separating" else "extract_l"  # one that queries are chosen with
    zoo = {**testbed.zoo, "wide": ZooModel("wide", role, "toy", lambda: wide)}
    with pytest.raises(ValueError, match=r"samples \(1, 8, 8\) do not fit the model wide: .*64") as refusal:
        measure(replace(testbed, zoo=zoo), method, CPU)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", ["integrated_gradients", "one_map/with_slopes"])
def test_faster_arithmetic_that_a_method_does_without_is_refused_before_it_is_believed(name, parts):
    fast = "{_target_: modelgif_core.Fast, precision: bfloat16, tolerance: 0.5}"
    given = (f"method={name}", f"++method.prepare={{_target_: modelgif_core.prepared, _partial_: true, fast: {fast}}}")
    with pytest.raises(ValueError, match=r"victim: Fast\(.* has no effect on this method, .*; leave `fast` out"):
        measure(*parts(*given), CPU)


def test_an_error_that_is_no_misfit_stays_what_it_is(parts):
    testbed, method = parts("method=agreement")

    def broken(model, samples):
        raise RuntimeError("no room left on the device")

    with pytest.raises(RuntimeError, match="no room left"):
        measure(testbed, replace(method, represent=broken), CPU)
