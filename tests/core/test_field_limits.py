"""What a field must stand: odd models, odd callers, odd precisions; beside `test_field.py`, which holds the formula."""

from contextlib import nullcontext

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from modelgif_core import Paths, dead_paths, extract_field
from modelgif_core.quadrature import gauss_legendre, riemann_left, riemann_middle, riemann_right, trapezoid
from modelgif_core.readout import class_sum, every_output, given_label

RULES = [gauss_legendre, riemann_left, riemann_middle, riemann_right, trapezoid]


class Function(nn.Module):
    """A model without parameters."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, inputs):
        return self.function(inputs)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def mlp():
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 4))


def half_trained():
    """Modes, flags and gradients all mixed."""
    model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Sequential(nn.Tanh(), nn.Linear(8, 4)))
    model.train()
    model(torch.randn(16, 6)).sum().backward()
    model[1].eval()
    model[3][1].requires_grad_(False)
    model[0].bias.requires_grad_(False)
    return model


def everything(model):
    return {
        **{f"{name}.training": module.training for name, module in model.named_modules()},
        **{f"{name}.requires_grad": p.requires_grad for name, p in model.named_parameters()},
        **{f"{name}.grad": p.grad.tolist() if p.grad is not None else None for name, p in model.named_parameters()},
        **{name: value.tolist() for name, value in model.state_dict().items()},
    }


def refuse(output, labels):
    raise ArithmeticError("refused")


def fail_on_gradients(module, inputs, output):
    if torch.is_grad_enabled():
        raise ArithmeticError("refused")


@pytest.mark.parametrize("caller", [nullcontext, torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("failure", [None, "readout", "model"])
def test_nothing_of_a_model_changes_whoever_calls_and_whatever_fails(caller, failure):
    model, paths = half_trained(), Paths(torch.zeros(()), torch.rand(3, 6))
    before = everything(model)
    hook = model[3].register_forward_hook(fail_on_gradients) if failure == "model" else None
    with caller(), pytest.raises(ArithmeticError) if failure else nullcontext():
        extract_field(model, paths, steps=3, readout=refuse if failure == "readout" else every_output)
    if hook:
        hook.remove()
    assert everything(model) == before


def test_paths_keep_their_values_when_the_first_layer_works_in_place():
    starts, ends = torch.randn(3, 6), torch.randn(3, 6)
    paths = Paths(starts.clone(), ends.clone())
    extract_field(nn.Sequential(nn.ReLU(inplace=True), nn.Linear(6, 2)), paths, steps=3)
    assert torch.equal(paths.starts, starts)
    assert torch.equal(paths.ends, ends)


def test_a_field_carries_no_graph_even_if_the_ends_do():
    model, ends = mlp(), torch.rand(2, 6)
    field = extract_field(model, Paths(torch.zeros(()), ends.clone().requires_grad_()), steps=3)
    assert not field.requires_grad
    assert torch.equal(field, extract_field(model, Paths(torch.zeros(()), ends), steps=3))


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_approaches_the_change_of_the_score(rule):
    model, paths = mlp().double(), Paths(torch.zeros(()).double(), torch.rand(3, 6).double())
    change = (model(paths.ends) - model(paths.starts)).sum(1)
    error = [
        (extract_field(model, paths, steps=n, rule=rule, readout=every_output)[:, -1].sum(1) - change).abs().max()
        for n in (2, 200)
    ]
    assert error[1] < 1e-2 * change.abs().max()
    assert error[1] < error[0] / 10


@pytest.mark.parametrize("labels", [None, torch.tensor([2, 0])])
def test_the_last_step_of_a_class_sum_is_the_change_of_that_class_map(labels):
    model = nn.Sequential(nn.Conv2d(2, 5, 3), nn.Tanh(), nn.Conv2d(5, 3, 1)).double()
    paths = Paths(torch.randn(2, 6, 6).double(), torch.randn(2, 2, 6, 6).double(), labels)
    chosen = model(paths.ends).sum((2, 3)).argmax(1) if labels is None else labels
    change = (model(paths.ends) - model(paths.starts)).sum((2, 3)).gather(1, chosen[:, None])[:, 0]
    field = extract_field(model, paths, steps=24, readout=class_sum)
    assert torch.allclose(field[:, -1].sum(1), change, rtol=1e-8)


@given(size=st.integers(1, 6), batch_size=st.integers(1, 20))
@settings(derandomize=True, deadline=None, max_examples=15)
def test_labels_travel_with_their_paths(size, batch_size):
    torch.manual_seed(0)
    model, paths = mlp().double(), Paths(torch.rand(5, 6), torch.rand(5, 6), torch.tensor([3, 1, 0, 2, 1]))
    whole = extract_field(model, paths, steps=4, readout=given_label)
    options = {"steps": 4, "readout": given_label, "batch_size": batch_size}
    parts = [extract_field(model, part, **options) for part in paths.split(size)]
    assert [len(part) for part in parts] == [min(size, 5 - first) for first in range(0, 5, size)]
    assert torch.allclose(torch.cat(parts), whole, rtol=1e-12)
    order = torch.tensor([4, 2, 0])
    assert torch.allclose(extract_field(model, paths[order], **options), whole[order], rtol=1e-12)


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_a_gradient_that_is_not_finite_names_its_path(batch_size):
    starts = torch.ones(4, 3)
    starts[2] = 0
    root = Function(torch.sqrt)
    with pytest.raises(ValueError, match="not finite on path 2 "):
        extract_field(root, Paths(starts, torch.ones(4, 3)), steps=2, rule=trapezoid, batch_size=batch_size)
    assert extract_field(root, Paths(starts, torch.ones(4, 3)), steps=2, rule=riemann_right).isfinite().all()


outside = torch.ones(3, requires_grad=True)


@pytest.mark.parametrize(
    "ignore",
    [
        lambda inputs: inputs.detach() ** 2,
        lambda inputs: inputs * 0 + 1,
        lambda inputs: torch.ones(len(inputs), 3),
        lambda inputs: outside.expand(len(inputs), 3) * 2,
    ],
    ids=["detached", "times zero", "constant", "a graph elsewhere"],
)
def test_a_model_that_ignores_its_input_has_only_dead_paths(ignore):
    field = extract_field(Function(ignore), Paths(torch.zeros(()), torch.rand(2, 3)), steps=3)
    assert not field.any()
    assert dead_paths(field).tolist() == [True, True]
    assert outside.grad is None


def test_a_path_of_no_length_is_dead_unless_the_direction_is_left_out():
    points = torch.rand(2, 6)
    paths = Paths(torch.stack([points[0], points[0]]), points)
    assert dead_paths(extract_field(mlp(), paths, steps=3)).tolist() == [True, False]
    assert dead_paths(extract_field(mlp(), paths, steps=3, times_direction=False)).tolist() == [False, False]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_model_without_parameters_takes_the_precision_of_the_paths(dtype):
    field = extract_field(Function(torch.exp), Paths(torch.zeros(()), torch.ones(1, 1, dtype=dtype)), steps=20)
    assert field.dtype == dtype
    assert float(field[0, -1]) == pytest.approx(torch.e - 1, rel=1e-12 if dtype == torch.float64 else 1e-6)


def test_a_model_with_buffers_alone_computes_in_their_precision():
    model = Function(torch.square)
    model.register_buffer("mean", torch.zeros(1, dtype=torch.float64))
    assert extract_field(model, Paths(torch.zeros(()), torch.ones(1, 1)), steps=2).dtype == torch.float64


@pytest.mark.parametrize(("model_dtype", "dtype"), [(torch.float32, torch.float16), (torch.float64, torch.float32)])
def test_paths_of_low_precision_end_where_they_say(model_dtype, dtype):
    model = mlp().to(model_dtype)
    paths = Paths(1 + torch.rand(3, 6).to(dtype), torch.rand(3, 6).to(dtype) / 7)
    same = Paths(paths.starts.to(model_dtype), paths.ends.to(model_dtype))
    field, expected = extract_field(model, paths, steps=4), extract_field(model, same, steps=4)
    assert (field - expected).norm() <= 4 * torch.finfo(model_dtype).eps * expected.norm()


def test_a_field_is_in_the_models_own_precision_inside_a_callers_autocast():
    model, paths = mlp(), Paths(torch.zeros(()), torch.rand(5, 6))
    with torch.autocast("cpu", torch.bfloat16):
        found = extract_field(model, paths, steps=3)
    assert torch.equal(found, extract_field(model, paths, steps=3))


@pytest.mark.usefixtures("without_shape_checks")
def test_whole_numbers_are_no_reference_points():
    with pytest.raises(ValueError, match=r"must be floating-point numbers, not torch\.uint8"):
        Paths(torch.zeros(()), torch.zeros(2, 6, dtype=torch.uint8))
