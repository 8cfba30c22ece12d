"""Random samples under an attack."""

from dataclasses import replace

import pytest
import torch
from conftest import TOY
from hydra.utils import instantiate

from experiments.interfaces import Offered, ZooModel
from experiments.measure import measure
from experiments.queries.adversarial import pgd_samples
from experiments.queries.samples import random_samples
from experiments.samples import toy as images
from experiments.testbeds.ip_protection import toy
from modelgif_core.readout import every_output, predicted_class

ATTACK = {"seed": 0, "epsilon": 8 / 255, "step": 2 / 255, "iterations": 8, "readout": every_output}


@pytest.fixture
def shown():
    return Offered(images.toy(), 8, ZooModel("victim", "victim", "toy", lambda: toy.network(0)))


def test_attacked_samples_stay_near_the_clean_ones_and_in_the_unit_range(shown):
    attacked, clean = pgd_samples(shown, **ATTACK), random_samples(shown, seed=0)
    assert (attacked.inputs - clean.inputs).abs().max() <= 8 / 255 + 1e-6
    assert 0 <= attacked.inputs.min() < attacked.inputs.max() <= 1
    assert torch.equal(attacked.labels, clean.labels)
    assert torch.equal(attacked.inputs, pgd_samples(shown, **ATTACK).inputs)


def test_an_attack_changes_the_source_more_than_noise_and_more_with_every_step(shown):
    clean, model = random_samples(shown, seed=0).inputs, shown.source.load()

    def change(iterations):
        attacked = pgd_samples(shown, **ATTACK | {"iterations": iterations}).inputs
        return (model(attacked) - model(clean)).square().sum(1).mean().item()

    noise = 8 / 255 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0)).sign()
    by_noise = (model((clean + noise).clamp(0, 1)) - model(clean)).square().sum(1).mean().item()
    assert by_noise < change(1) < change(2) < change(8)
    assert change(8) > 4 * by_noise


def test_an_attack_on_a_linear_output_ends_in_the_corners_of_the_ball(shown):
    linear = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 1))
    shown = replace(shown, source=ZooModel("victim", "victim", "linear", lambda: linear))
    attacked = pgd_samples(shown, **ATTACK | {"iterations": 20}).inputs
    clean = random_samples(shown, seed=0).inputs
    direction = linear[1].weight.sign().view(1, 1, 8, 8)
    corners = [(clean + side * 8 / 255 * direction).clamp(0, 1) for side in (-1, 1)]
    nearest = torch.stack([(attacked - corner).abs().amax((1, 2, 3)) for corner in corners]).amin(0)
    assert nearest.max() < 1e-6


def test_an_attack_looks_at_the_outputs_that_the_readout_follows(shown):
    clean, model = random_samples(shown, seed=0).inputs, shown.source.load()
    top = predicted_class(model(clean))

    def change(readout):
        return (top * (model(pgd_samples(shown, **ATTACK | {"readout": readout}).inputs) - model(clean))).norm()

    assert change(predicted_class) > change(every_output)


def test_the_gradients_of_an_attack_are_counted_as_those_of_the_choice(config):
    testbed = instantiate(config(*TOY)["testbed"], _convert_="all")
    method = instantiate(config("method=modelgif/adversarial", *TOY)["method"], _convert_="all")
    _, cost = measure(testbed, method, torch.device("cpu"))
    assert cost["cost/gradient_selection"] == 8 * testbed.budget
    assert cost["cost/forward_selection"] == testbed.budget + 1  # and one that is tried before


@pytest.mark.parametrize("setting", [{"epsilon": 0}, {"epsilon": 4}, {"step": -0.1}, {"iterations": 0}])
def test_settings_of_an_attack_that_are_out_of_range_are_refused(setting, shown):
    ((name, value),) = setting.items()
    with pytest.raises(ValueError, match=f"{name} must .* not {value}"):
        pgd_samples(shown, **ATTACK | setting)


def test_an_attack_draws_from_its_own_seed_and_leaves_torchs_numbers_alone(shown):
    state = torch.get_rng_state()
    first = pgd_samples(shown, **ATTACK).inputs
    assert torch.equal(state, torch.get_rng_state())
    torch.rand(3)
    assert torch.equal(first, pgd_samples(shown, **ATTACK).inputs)
    other = ATTACK | {"iterations": 1}
    assert not torch.equal(first, pgd_samples(shown, **other).inputs)


def test_an_attack_needs_a_source(shown):
    with pytest.raises(ValueError, match="asks the source model; the method's needs must name `source`"):
        pgd_samples(replace(shown, source=None), **ATTACK)
