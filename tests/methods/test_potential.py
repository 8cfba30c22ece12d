"""Field and potential: the nearer of both, in units of what independent models show."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from experiments.interfaces import Offered, Samples, ZooModel
from experiments.methods.fields.potential import Both, both, measured_paths, nearer_of_both, readings
from experiments.queries.paths import paths
from experiments.queries.samples import random_samples
from experiments.queries.starts import black
from experiments.testbeds.ip_protection.toy import network
from modelgif_core.readout import predicted_class
from modelgif_core.view import flat

REPRESENT = partial(both, steps=4, readout=predicted_class, view=flat)
CHOOSE = partial(paths, choose=partial(random_samples, seed=0), start=black)


def offered(*seeds):
    models = [ZooModel(f"{seed}", "any", "toy", partial(network, seed)) for seed in (0, *seeds)]
    samples = Samples(torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(1)))
    return Offered(samples, 6, models[0], {"far": models[1:]})


def test_units_are_mean_and_spread_of_the_sources_distances_to_independent_models():
    queries = measured_paths(offered(1, 2, 3), choose=CHOOSE, represent=REPRESENT)
    own, *others = (REPRESENT(network(seed), queries) for seed in range(4))
    distances = torch.stack([readings(own, other) for other in others])
    assert torch.allclose(queries.units, torch.stack([distances.mean(0), distances.std(0)], 1), atol=1e-6)


def test_a_model_that_keeps_only_one_of_the_two_is_near():
    queries = measured_paths(offered(1, 2, 3), choose=CHOOSE, represent=REPRESENT)
    own, stranger = REPRESENT(network(0), queries), REPRESENT(network(9), queries)
    same_field = Both(own.field, stranger.potential, queries.units)
    same_potential = Both(stranger.field, own.potential, queries.units)
    twin, *halves, far = (float(nearer_of_both(own, one)) for one in (own, same_field, same_potential, stranger))
    assert twin == pytest.approx(0, abs=1e-5)
    assert all(twin <= half < far for half in halves)


def test_the_nearer_of_both_is_the_smaller_standard_score():
    units = torch.tensor([[1.0, 0.5], [0.4, 0.1]])
    field, other = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.0, 1.0]]])
    logits = torch.tensor([[1.0, 0.0, -1.0]])
    a, b = Both(field, logits, units), Both(other, -logits, units)
    # Fields are at right angles, (1 - 1) / 0.5 = 0; potentials are opposite, (2 - 0.4) / 0.1 = 16; the twin is at -4.
    assert float(nearer_of_both(a, b)) == pytest.approx(4)


def test_one_independent_model_shows_no_spread():
    with pytest.raises(ValueError, match="a spread needs two independent models or more, not 1"):
        measured_paths(offered(1), choose=CHOOSE, represent=REPRESENT)


def test_a_model_without_a_field_gives_no_units():
    blind = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    nn.init.zeros_(blind[1].weight)
    without = offered(1, 2)
    far = [*without.models["far"], replace(without.source, load=lambda: blind)]
    found = measured_paths(replace(without, models={"far": far}), choose=CHOOSE, represent=REPRESENT)
    assert torch.equal(found.units, measured_paths(without, choose=CHOOSE, represent=REPRESENT).units)
    with pytest.raises(ValueError, match="of 2 independent models 1 depend on their input"):
        measured_paths(replace(without, models={"far": far[1:]}), choose=CHOOSE, represent=REPRESENT)
