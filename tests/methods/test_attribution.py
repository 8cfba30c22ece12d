"""Attribution maps: what they must add up to, and which models they refuse."""

import copy
from functools import partial

import pytest
import torch
from captum.attr._utils.custom_modules import Addition_Module
from torch import nn

from experiments.methods.fields import attribution
from experiments.networks.timm import Normalise
from modelgif_core import Paths, colour_mean, extract_field, flat
from modelgif_core.readout import channel_peaks, every_output, predicted_class

PATHS = Paths(torch.full((), 0.5), torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(0)))
MAPS = {
    "integrated_gradients": partial(attribution.integrated_gradients, steps=4),
    "gradient_x_input": attribution.gradient_x_input,
    "saliency": attribution.saliency,
    "lrp": attribution.lrp,
}


def encoder(*, bias=False, norm=False):
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 16, 3, bias=bias), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Conv2d(16, 8, 3, bias=bias)]
    if norm:
        layers.insert(1, nn.BatchNorm2d(16))
        nn.init.uniform_(layers[1].running_mean, -0.1, 0.1)
        nn.init.uniform_(layers[1].running_var, 0.5, 2)
    return nn.Sequential(*layers, nn.ReLU()).eval()


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 16, 3, bias=False), nn.Conv2d(16, 16, 3, padding=1, bias=False)
        self.relu = nn.ReLU(inplace=True)  # used twice, as in torchvision

    def forward(self, inputs):
        inputs = self.relu(self.first(inputs))
        return self.relu(self.second(inputs) + inputs)


def followed(model, readout=channel_peaks):
    outputs = model(PATHS.ends).detach()
    return (outputs * readout(outputs, None)).flatten(1).sum(1)


def test_integrated_gradients_are_the_fields_last_step_for_every_readout_and_view():
    model = encoder(norm=True)
    for readout in (channel_peaks, every_output):
        settings = {"steps": 6, "readout": readout, "view": colour_mean}
        maps = attribution.integrated_gradients(model, PATHS, **settings)
        field = extract_field(model, PATHS, **settings)
        torch.testing.assert_close(maps[:, 0], field[:, -1], rtol=1e-4, atol=1e-6)


def test_fifty_steps_of_integrated_gradients_add_up_better_than_sixteen_where_gradients_jump():
    model = nn.Sequential(encoder(bias=True), nn.Flatten(), nn.Linear(200, 10))
    readout = predicted_class
    outputs = model(PATHS.ends).detach()
    follow = readout(outputs, None)
    start = model(PATHS.starts.expand_as(PATHS.ends)).detach()
    wanted = ((outputs - start) * follow).sum(1)

    def miss(steps):
        maps = attribution.integrated_gradients(model, PATHS, steps=steps, readout=readout, view=flat)
        return (maps[:, 0].sum(1) - wanted).abs().mean()

    assert miss(50) < 0.7 * miss(16)


def test_gradient_maps_are_what_autograd_says():
    model, ends = encoder(), PATHS.ends.clone().requires_grad_()
    outputs = model(ends.clone())
    gradient = torch.autograd.grad((outputs * channel_peaks(outputs.detach())).sum(), ends)[0]
    settings = {"readout": channel_peaks, "view": colour_mean}
    maps = attribution.saliency(model, PATHS, **settings)
    torch.testing.assert_close(maps[:, 0], colour_mean(gradient.abs()))
    maps = attribution.gradient_x_input(model, PATHS, **settings)
    torch.testing.assert_close(maps[:, 0], colour_mean(gradient * PATHS.ends))


@pytest.mark.parametrize("explain", MAPS.values(), ids=MAPS)
def test_maps_work_without_parameters_and_leave_the_model_alone(explain):
    pool = nn.Sequential(nn.ReLU(inplace=True), nn.AvgPool2d(4))
    assert explain(pool, PATHS, readout=channel_peaks, view=flat).shape == (5, 1, 3 * 16 * 16)
    model = encoder(norm=True)
    before, outputs = copy.deepcopy(model.state_dict()), model(PATHS.ends)
    first = explain(model, PATHS, readout=channel_peaks, view=colour_mean)
    assert first.shape == (5, 1, 16 * 16)
    assert torch.equal(first, explain(model, PATHS, readout=channel_peaks, view=colour_mean))
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    torch.testing.assert_close(model(PATHS.ends), outputs, rtol=0, atol=0)
    assert model[2].inplace
    assert not any(hasattr(module, "rule") for module in model.modules())


@pytest.mark.parametrize("explain", MAPS.values(), ids=MAPS)
def test_maps_do_not_depend_on_the_batch(explain, monkeypatch):
    settings = {"readout": channel_peaks, "view": flat}
    whole = explain(encoder(), PATHS, **settings)
    monkeypatch.setattr(attribution, "_batch_size", lambda paths: 2)
    torch.testing.assert_close(explain(encoder(), PATHS, **settings), whole, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("model", "readout"),
    [
        (encoder(), channel_peaks),
        (encoder(), every_output),
        (nn.Sequential(encoder(), nn.Flatten(), nn.Linear(200, 10, bias=False)), predicted_class),
        (nn.Sequential(Normalise(0.5, 0.5), encoder()), channel_peaks),
        (Residual(), channel_peaks),
        (nn.Sequential(Normalise(0.5, 0.5), Residual()), channel_peaks),
    ],
    ids=["peaks", "sum", "classifier", "standardised", "residual", "standardised residual"],
)
def test_relevance_sums_to_the_followed_output_of_a_relu_network_without_biases(model, readout):
    relevance = attribution.lrp(model.eval(), PATHS, readout=readout, view=flat)[:, 0]
    torch.testing.assert_close(relevance.sum(1), followed(model, readout), rtol=1e-4, atol=1e-6)
    assert (
        torch.cosine_similarity(
            relevance, attribution.gradient_x_input(model, PATHS, readout=readout, view=flat)[:, 0]
        ).max()
        < 0.99
    )


def test_relevance_survives_biases_and_folded_batch_norm():
    for model in (encoder(bias=True), encoder(norm=True)):
        relevance = attribution.lrp(model, PATHS, readout=channel_peaks, view=flat)[:, 0]
        torch.testing.assert_close(relevance.sum(1), followed(model), rtol=1e-3, atol=1e-6)


def test_relevance_of_standardised_inputs_is_their_gradient_times_themselves():
    layer = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    standard = Normalise(0.5, 0.25)(PATHS.ends)
    settings = {"readout": channel_peaks, "view": flat}
    maps = attribution.lrp(nn.Sequential(Normalise(0.5, 0.25), layer), PATHS, **settings)
    expected = attribution.gradient_x_input(layer, Paths(PATHS.starts, standard), **settings)
    torch.testing.assert_close(maps, expected, rtol=1e-4, atol=1e-6)


def test_captums_own_addition_counts_like_a_plus_sign():
    class Explicit(Residual):
        def __init__(self):
            super().__init__()
            self.add = Addition_Module()

        def forward(self, inputs):
            inputs = self.relu(self.first(inputs))
            return self.relu(self.add(self.second(inputs), inputs))

    maps = [attribution.lrp(model, PATHS, readout=channel_peaks, view=flat) for model in (Residual(), Explicit())]
    assert torch.equal(*maps)


class Scaled(nn.Module):
    def forward(self, inputs):
        return inputs * 2


class Branching(nn.Module):
    def forward(self, inputs):
        return inputs if inputs.sum() > 0 else -inputs


SHARED = nn.Conv2d(3, 3, 3, padding=1)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU()), "no rule for SiLU"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU()), "no rule for GELU"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4)), "no rule for BatchNorm2d"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), Scaled()), "no rule for the function mul"),
        (Branching(), "cannot follow the forward pass of Branching"),
        (nn.Sequential(SHARED, nn.ReLU(), SHARED), "more than once"),
    ],
)
def test_relevance_refuses_what_no_rule_covers_by_name(model, message):
    with pytest.raises(ValueError, match=message):
        attribution.lrp(model.eval(), PATHS, readout=channel_peaks, view=flat)


def test_relevance_counts_what_the_model_is_shown():
    model, seen = encoder(), []
    model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].requires_grad))
    attribution.lrp(model, PATHS, readout=channel_peaks, view=flat)
    assert seen.count(False) == 1  # the readout
    assert seen.count(True) >= 1
