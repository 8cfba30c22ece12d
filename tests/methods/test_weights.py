"""Controls that compare weights: layer by layer, and halfway between two models."""

import copy

import pytest
import torch
from torch import nn

from experiments.interfaces import Offered, Samples
from experiments.methods.weights.interpolation import endpoint, estimate_statistics, interpolation_barrier
from experiments.methods.weights.layers import farthest_layer, nearest_layer, relative_distance, weight_tensors
from experiments.networks.perturbed import perturbed
from experiments.queries.nothing import nothing
from experiments.samples import toy as images
from experiments.testbeds.ip_protection.toy import network

LAYERS = (nearest_layer, farthest_layer)


def normed(seed=0, classes=10):
    """A network with BatchNorm that has seen other data than it is shown."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [nn.Flatten(), nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(inplace=True), nn.Linear(64, classes)]
    model = nn.Sequential(*layers).eval()
    model.load_state_dict(
        {"2.running_mean": torch.full((64,), 3.0), "2.running_var": torch.full((64,), 7.0)}, strict=False
    )
    return model


def test_a_distance_of_layers_has_its_value_by_hand_and_is_symmetric():
    a, b = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 4.0]])
    assert relative_distance(a, b).item() == relative_distance(b, a).item() == pytest.approx(5 / 7)
    assert relative_distance(a, -a) == 1
    assert relative_distance(a, 0 * a) == 1
    assert relative_distance(0 * a, 0 * a) == 0
    assert relative_distance(8 * a, 8 * b).item() == pytest.approx(5 / 7)


def test_one_new_layer_is_the_farthest_and_one_kept_layer_the_nearest():
    a, b, c = {"x": torch.eye(2), "y": torch.ones(2, 2)}, {"x": torch.eye(2), "y": -torch.ones(2, 2)}, {}
    assert nearest_layer(a, b) == 0
    assert farthest_layer(a, b) == 1
    assert [layer(a, c) for layer in LAYERS] == [1, 1]


def test_biases_and_scales_are_no_layers():
    one, other = normed(), normed()
    with torch.no_grad():
        for values in other.parameters():
            values += values.ndim == 1
    assert set(weight_tensors(one)) == {"1.weight", "4.weight"}
    assert farthest_layer(weight_tensors(one), weight_tensors(other)) == 0
    with pytest.raises(ValueError, match="no weight tensor of two dimensions"):
        weight_tensors(nn.BatchNorm1d(3))


@pytest.mark.parametrize("layer", LAYERS)
def test_names_or_shapes_that_differ_leave_no_layers_to_compare(layer):
    weights = weight_tensors(normed())
    assert layer(weights, weight_tensors(normed(classes=9))) == 1
    assert layer(weights, {name + "_": values for name, values in weights.items()}) == 1


def test_renumbered_hidden_units_hide_a_copy_from_weights():
    victim, hidden = normed(), normed()
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for name, values in [*hidden.named_parameters(), *hidden.named_buffers()]:
            if name == "4.weight":
                values.copy_(values[:, order])
            elif values.ndim and len(values) == 64:
                values.copy_(values[order])
    inputs = images.toy().inputs
    assert torch.allclose(victim(inputs.clone()), hidden(inputs.clone()), atol=1e-5)
    assert nearest_layer(weight_tensors(victim), weight_tensors(hidden)) > 0.6
    assert interpolation_barrier(endpoint(victim, images.toy()), endpoint(hidden, images.toy())).mean() > 0.2


@pytest.mark.parametrize("make", [network, normed])
def test_no_accuracy_is_lost_on_the_way_to_an_exact_copy_little_to_a_near_one_and_much_to_a_stranger(make):
    own = endpoint(make(0), images.toy())
    near, far = perturbed(0.02, 1, lambda: make(0)), make(1)
    twin, close, strange = (interpolation_barrier(own, endpoint(model, images.toy())) for model in (make(0), near, far))
    assert (twin == 0).all()
    assert close.mean() < 0.2
    assert strange.mean() > 0.4


def test_each_label_that_the_middle_does_not_give_counts_a_half():
    def linear(*rows):
        model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False))
        with torch.no_grad():
            model[1].weight.copy_(torch.tensor(rows))
        return model

    shown = Samples(torch.tensor([[1.0, 0.0], [0.0, 1.0]]).view(2, 1, 1, 2))
    one, other = linear([4.0, 4.0], [0.0, 0.0]), linear([0.0, 5.0], [1.0, 0.0])  # labels 0, 0 and 1, 0; halfway 0, 0
    assert interpolation_barrier(endpoint(one, shown), endpoint(other, shown)).tolist() == [0.5, 0]


def test_no_line_leads_to_another_architecture():
    ends = [endpoint(model, images.toy()) for model in (network(0), normed(), normed(classes=9))]
    assert interpolation_barrier(ends[0], ends[1]).tolist() == [1] * 64
    assert interpolation_barrier(ends[1], ends[2]).tolist() == [1] * 64


def test_statistics_become_those_of_the_samples_and_the_model_shown_keeps_its_own():
    model, inputs = normed(), images.toy().inputs
    before = copy.deepcopy(model.state_dict())
    settled = endpoint(model, images.toy()).model
    assert all(torch.equal(values, before[name]) for name, values in model.state_dict().items())
    reached = model[1](inputs.flatten(1))
    assert torch.allclose(settled[2].running_mean, reached.mean(0), atol=1e-5)
    assert torch.allclose(settled[2].running_var, reached.var(0), atol=1e-5)
    assert not any(part.training for part in settled.modules())
    assert settled[2].momentum == model[2].momentum


def test_one_sample_has_no_statistics():
    with pytest.raises(ValueError, match="need 2 samples or more, not 1; raise the budget"):
        estimate_statistics(normed(), Samples(images.toy().inputs[:1]))


def test_nothing_is_shown():
    assert nothing(Offered(images.toy(), 8)) is None
