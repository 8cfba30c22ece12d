"""Points at a model's boundary: where they lie, what they cost, and what is refused."""

from functools import partial

import pytest
import torch
from torch import nn

from experiments.interfaces import Offered, ZooModel
from experiments.methods.fingerprints.ipguard import boundary_loss, boundary_samples
from experiments.networks.forward import predictions
from experiments.samples import toy as images
from experiments.testbeds.ip_protection.toy import network

SETTINGS = {"seed": 0, "margin": 0.05, "rate": 0.002, "iterations": 1000}


def linear():
    """A classifier with large logits, so that each of its classes is within reach."""
    generator, model = torch.Generator().manual_seed(0), nn.Sequential(nn.Flatten(), nn.Linear(64, 10, bias=False))
    nn.init.normal_(model[1].weight, generator=generator)
    return model.eval()


def offered(load=linear, budget=12):
    return Offered(images.toy(), budget, source=ZooModel("victim", "victim", "toy", load))


def test_points_lie_just_beyond_the_boundary_to_the_least_likely_class():
    found, start = boundary_samples(offered(), **SETTINGS), images.toy().inputs
    assert found.inputs.min() >= 0
    assert found.inputs.max() <= 1
    outputs = predictions(linear(), found.inputs)
    beyond = outputs.amax(1) - outputs.gather(1, found.labels[:, None])[:, 0]
    assert (beyond >= 0.05 - 1e-5).all()
    assert (beyond < 1).all(), "no further than it has to"
    assert (predictions(linear(), start).amax(1) - predictions(linear(), start).amin(1)).median() > 3
    assert not any((point == start).flatten(1).all(1).any() for point in found.inputs)


def test_the_loss_is_zero_exactly_where_the_target_leads_by_the_margin_and_no_third_class_by_more():
    outputs = torch.tensor([[1.0, 3.0, 0.0], [1.0, 2.9, 0.0], [1.0, 3.0, 1.5], [2.0, 1.0, 0.0]])
    loss = boundary_loss(outputs, torch.zeros(4, dtype=torch.long), torch.ones(4, dtype=torch.long), margin=2)
    assert loss.tolist() == pytest.approx([0, 0.1, 0.5, 3])


def test_a_point_that_does_not_get_there_is_kept_within_the_range_of_pixels():
    found = boundary_samples(offered(partial(network, 0)), **SETTINGS | {"margin": 1e6, "iterations": 3})
    assert len(found.inputs) == 12
    assert found.inputs.min() >= 0
    assert found.inputs.max() <= 1


@pytest.mark.parametrize("name", ["margin", "rate", "iterations"])
def test_a_setting_that_moves_nothing_is_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be above 0, not 0"):
        boundary_samples(offered(), **SETTINGS | {name: 0})
