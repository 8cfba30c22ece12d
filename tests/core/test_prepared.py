"""A model prepared once: the same field, nothing prepared again, whoever counts counts on."""

import pytest
import timm
import torch
from torch import nn

from modelgif_core import Paths, Prepared, extract_field, prepared

PATHS = Paths(torch.zeros(()), torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(0)))


def network():
    torch.manual_seed(0)
    return timm.create_model("test_efficientnet", num_classes=10).eval()


class Counter:
    def __init__(self):
        self.forward = self.gradient = 0

    def __call__(self, module, inputs):
        wanted = torch.is_grad_enabled() and inputs[0].requires_grad
        self.gradient += len(inputs[0]) * wanted
        self.forward += len(inputs[0]) * (not wanted)


def test_a_prepared_model_has_the_models_field():
    model = network()
    plain = torch.cat([extract_field(model, PATHS[k : k + 1], steps=20) for k in range(6)])  # too few to prepare
    ready = extract_field(prepared(model, PATHS.ends[:1]), PATHS, steps=20)
    assert not torch.equal(plain, ready)
    assert (plain - ready).norm() < 1e-3 * plain.norm()


def test_a_plain_model_is_prepared_when_its_gradients_are_many_and_gives_the_very_field_of_the_prepared_one():
    model = network()
    assert torch.equal(
        extract_field(model, PATHS, steps=20), extract_field(prepared(model, PATHS.ends[:1]), PATHS, steps=20)
    )


def test_who_prepares_once_and_streams_gets_the_field_of_all_paths_together():
    ready = prepared(network(), PATHS.ends[:1])
    whole = extract_field(ready, PATHS, steps=50)
    assert torch.equal(torch.cat([extract_field(ready, part, steps=50) for part in PATHS.split(2)]), whole)


def test_a_prepared_model_is_shown_nothing_but_the_paths():
    model, counter = network(), Counter()
    model.register_forward_pre_hook(counter)
    ready = prepared(model, PATHS.ends[:1])
    assert (counter.forward, counter.gradient) == (2, 0)  # as it is, and folded
    for part in PATHS.split(3):
        extract_field(ready, part, steps=40)
    assert (counter.forward, counter.gradient) == (2 + 6, 240)


def test_hooks_on_what_is_prepared_count_too():
    ready, counter = prepared(network(), PATHS.ends[:1]), Counter()
    ready.register_forward_pre_hook(counter)
    extract_field(ready, PATHS, steps=3)
    assert (counter.forward, counter.gradient) == (6, 18)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_preparing_keeps_the_models_precision(dtype):
    ready = prepared(network().to(dtype), PATHS.ends[:1])
    assert ready(PATHS.ends.to(dtype)).dtype == dtype


def test_a_prepared_model_may_be_made_and_used_where_nothing_is_differentiated():
    model = network()
    expected = extract_field(model, PATHS, steps=20)
    with torch.inference_mode():
        ready = prepared(model, PATHS.ends[:1])
        assert torch.equal(extract_field(ready, PATHS, steps=20), expected)
    assert torch.equal(extract_field(ready, PATHS, steps=20), expected)


def test_preparing_leaves_the_model_alone():
    model = network().train()
    model.requires_grad_(True)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    ready = prepared(model, PATHS.ends[:1])
    extract_field(ready, PATHS, steps=2)
    assert isinstance(ready, Prepared)
    assert model.training
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(isinstance(part, nn.BatchNorm2d) for part in ready.modules())
