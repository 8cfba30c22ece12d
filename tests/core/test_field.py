import ast
import copy
import sys
from functools import partial

import pytest
import timm
import torch
from captum.attr import IntegratedGradients
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from modelgif_core import Paths, dead_paths, extract_field
from modelgif_core.quadrature import gauss_legendre, riemann_right, trapezoid
from modelgif_core.readout import channel_peaks, every_output, given_label, predicted_class


def seeded(make):
    torch.manual_seed(0)
    return make()


def cnn():
    layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(), nn.Flatten()]
    model = nn.Sequential(*layers, nn.Linear(8 * 15 * 15, 10))
    model.train()
    with torch.no_grad():
        model(torch.rand(16, 3, 32, 32))  # so that the running statistics are not the initial ones
    return model.eval()


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 32), nn.Tanh(), nn.Linear(32, 10))


def starts_in_place():
    return nn.Sequential(
        nn.ReLU(inplace=True), nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.LazyLinear(5)
    )


MODELS = {
    "cnn with BatchNorm": (cnn, 32),
    "MobileNet with in-place ReLU6": (partial(timm.create_model, "mobilenetv2_035", num_classes=10), 32),
    "ViT": (partial(timm.create_model, "test_vit", img_size=32, patch_size=8, num_classes=10), 32),
    "in-place first layer": (starts_in_place, 8),
}


@pytest.fixture(params=MODELS)
def model_and_paths(request):
    make, size = MODELS[request.param]
    model = seeded(make).eval()
    images = torch.rand(6, 3, size, size)
    model(images[:1].clone())  # lazy layers take their shape
    return model, Paths(images[3:], images[:3])


def by_definition(model, paths, steps, cumulative=True, times_direction=True):
    """The formula, one point at a time."""
    model.eval()
    nodes, weights = gauss_legendre(steps)
    field = []
    for start, end in zip(paths.starts, paths.ends, strict=True):
        target = model(end[None].clone()).argmax()
        total, curve = torch.zeros_like(end), []
        for node, weight in zip(nodes.float(), weights.float(), strict=True):
            point = (start + node * (end - start)).requires_grad_()
            (gradient,) = torch.autograd.grad(model(point[None].clone())[0, target], point)
            total = total + weight * gradient if cumulative else weight * gradient
            curve.append(((end - start) * total if times_direction else total).flatten())
        field.append(torch.stack(curve))
    return torch.stack(field)


@pytest.mark.parametrize(
    ("cumulative", "times_direction"), [(True, True), (False, True), (True, False), (False, False)]
)
def test_the_field_equals_its_definition(model_and_paths, cumulative, times_direction):
    model, paths = model_and_paths
    expected = by_definition(model, paths, 5, cumulative, times_direction)
    field = extract_field(model, paths, steps=5, cumulative=cumulative, times_direction=times_direction)
    assert (field - expected).norm() <= 1e-5 * expected.norm()


def test_the_last_step_is_captums_integrated_gradients(model_and_paths):
    model, paths = model_and_paths
    if isinstance(model, nn.Sequential) and isinstance(model[0], nn.ReLU):
        model = nn.Sequential(nn.Identity(), copy.deepcopy(model))
        model[1][0].inplace = False  # captum cannot feed a first layer that works in place
    target = model(paths.ends.clone()).argmax(1)
    maps = IntegratedGradients(model).attribute(
        paths.ends, paths.starts.contiguous(), target=target, n_steps=7, method="gausslegendre"
    )
    last = extract_field(model, paths, steps=7)[:, -1]
    assert (last - maps.flatten(1)).norm() <= 1e-5 * maps.norm()


@pytest.mark.parametrize("readout", [predicted_class, given_label, every_output])
def test_the_last_step_sums_to_the_change_of_the_score(readout):
    model = seeded(mlp).double()
    paths = Paths(torch.rand(4, 3, 8, 8).double(), torch.rand(4, 3, 8, 8).double(), torch.tensor([1, 0, 7, 3]))
    follow = readout(model(paths.ends), paths.labels)
    change = ((model(paths.ends) - model(paths.starts)) * follow).sum(1)
    field = extract_field(model, paths, steps=20, readout=readout)
    torch.testing.assert_close(field[:, -1].sum(1), change, rtol=1e-9, atol=1e-9)


def test_completeness_holds_for_dense_outputs_at_the_peaks_of_the_paths_end():
    model = seeded(lambda: nn.Sequential(nn.Conv2d(3, 5, 3), nn.Tanh(), nn.Conv2d(5, 4, 3))).double()
    paths = Paths(torch.rand(2, 3, 8, 8).double(), torch.rand(2, 3, 8, 8).double())
    follow = channel_peaks(model(paths.ends))
    assert not torch.equal(follow, channel_peaks(model(paths.starts)))  # or freezing would not matter
    change = ((model(paths.ends) - model(paths.starts)) * follow).sum((1, 2, 3))
    field = extract_field(model, paths, steps=20, readout=channel_peaks)
    torch.testing.assert_close(field[:, -1].sum(1), change, rtol=1e-9, atol=1e-9)


def test_completeness_error_shrinks_with_the_number_of_steps_on_a_real_network():
    model, paths = seeded(cnn), Paths(torch.zeros(()), torch.rand(3, 3, 32, 32))
    target = predicted_class(model(paths.ends))
    change = ((model(paths.ends) - model(paths.starts)) * target).sum(1)

    def error(steps):
        return (extract_field(model, paths, steps=steps)[:, -1].sum(1) - change).abs().max()

    assert error(50) < 0.01 * change.abs().max()
    assert error(50) < error(3)


@given(batch_size=st.integers(1, 40), size=st.integers(1, 5))
@settings(derandomize=True, deadline=None, max_examples=25)
def test_chunks_do_not_change_the_field(batch_size, size):
    model, paths = seeded(cnn), Paths(torch.zeros(()), torch.rand(4, 3, 32, 32))
    whole = extract_field(model, paths, steps=6, batch_size=24)
    torch.testing.assert_close(extract_field(model, paths, steps=6, batch_size=batch_size), whole, rtol=1e-4, atol=1e-7)
    parts = torch.cat([extract_field(model, part, steps=6) for part in paths.split(size)])
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-7)


def test_a_linear_model_has_the_same_gradient_everywhere():
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    paths = Paths(torch.rand(5, 3, 2, 2), torch.rand(5, 3, 2, 2))
    nodes, weights = riemann_right(4)
    field = extract_field(model, paths, steps=4, rule=riemann_right, cumulative=False, times_direction=False)
    rows = model[1].weight.detach()[model(paths.ends).argmax(1)]
    torch.testing.assert_close(field, weights.float()[None, :, None] * rows[:, None].expand(5, 4, 12))
    running = extract_field(model, paths, steps=4, rule=riemann_right)
    directions = (paths.ends - paths.starts).flatten(1)
    torch.testing.assert_close(running, nodes.float()[None, :, None] * (directions * rows)[:, None])


def test_rules_agree_on_a_smooth_model():
    model, paths = seeded(mlp), Paths(torch.zeros(()), torch.rand(2, 3, 8, 8))
    gauss, trapezoids = (
        extract_field(model, paths, steps=60, rule=rule)[:, -1] for rule in (gauss_legendre, trapezoid)
    )
    torch.testing.assert_close(gauss, trapezoids, rtol=1e-2, atol=1e-4)


def state(model):
    return {
        "modes": [module.training for module in model.modules()],
        "flags": [parameter.requires_grad for parameter in model.parameters()],
        "gradients": [parameter.grad is None for parameter in model.parameters()],
        "values": [value.clone() for value in model.state_dict().values()],
    }


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_is_left_as_it_was_found(fails):
    model = seeded(cnn).train()
    model[4].eval()
    model[0].bias.requires_grad_(False)
    before = state(model)
    if fails:
        with pytest.raises(ValueError, match="needs labelled paths"):
            extract_field(model, Paths(torch.zeros(()), torch.rand(2, 3, 32, 32)), readout=given_label)
    else:
        extract_field(model, Paths(torch.zeros(()), torch.rand(2, 3, 32, 32)), steps=3)
    after = state(model)
    assert all(torch.equal(a, b) for a, b in zip(before.pop("values"), after.pop("values"), strict=True))
    assert before == after


def test_a_model_in_training_mode_gives_the_field_of_its_eval_mode():
    model, paths = seeded(cnn), Paths(torch.zeros(()), torch.rand(2, 3, 32, 32))
    expected = extract_field(model, paths, steps=3)
    torch.testing.assert_close(extract_field(model.train(), paths, steps=3), expected)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_caller_without_gradients_gets_the_field_all_the_same(mode):
    model, ends = seeded(mlp), torch.rand(2, 3, 8, 8)
    expected = extract_field(model, Paths(torch.zeros(()), ends), steps=3)
    with mode():
        inside = extract_field(model, Paths(torch.zeros(()), ends), steps=3)
    assert torch.equal(inside, expected)
    assert not inside.requires_grad


def test_memory_format_does_not_change_the_field():
    model, paths = seeded(cnn), Paths(torch.zeros(()), torch.rand(2, 3, 32, 32))
    last = copy.deepcopy(model).to(memory_format=torch.channels_last)
    torch.testing.assert_close(
        extract_field(last, paths, steps=4), extract_field(model, paths, steps=4), rtol=1e-4, atol=1e-6
    )


def test_precision_follows_the_model():
    model, paths = seeded(mlp), Paths(torch.zeros(()), torch.rand(3, 3, 8, 8))
    single = extract_field(model, paths, steps=4)
    double = extract_field(copy.deepcopy(model).double(), paths, steps=4)
    half = extract_field(copy.deepcopy(model).bfloat16(), paths, steps=4)
    assert (single.dtype, double.dtype, half.dtype) == (torch.float32, torch.float64, torch.float32)
    torch.testing.assert_close(double.float(), single, rtol=1e-4, atol=1e-6)
    assert torch.cosine_similarity(half, single, dim=2).min() > 0.99


def test_any_input_shape_and_a_model_without_parameters_will_do():
    class Square(nn.Module):
        def forward(self, points):
            return points.square().flatten(1).sum(1, keepdim=True)

    for shape in [(4,), (2, 3), (1, 2, 2, 2)]:
        field = extract_field(Square(), Paths(torch.zeros(()), torch.ones(2, *shape)), steps=5)
        torch.testing.assert_close(field[:, -1], torch.ones_like(field[:, -1]))


def test_a_path_is_dead_only_if_the_field_vanishes_all_along_it():
    model = nn.Sequential(nn.Flatten(), nn.ReLU(), nn.Linear(4, 1))
    ends = torch.stack([torch.ones(1, 2, 2), -torch.ones(1, 2, 2)])
    assert dead_paths(extract_field(model, Paths(torch.zeros(()), ends), steps=4)).tolist() == [False, True]


def test_a_model_that_ignores_its_input_has_a_field_of_zeros():
    class Constant(nn.Module):
        def forward(self, points):
            return torch.ones(len(points), 3)

    assert dead_paths(extract_field(Constant(), Paths(torch.zeros(()), torch.rand(2, 5)), steps=3)).all()


@pytest.mark.parametrize(
    "starts", [torch.tensor(0.5), torch.rand(3, 8, 8), torch.rand(3, 1, 1), torch.rand(2, 3, 8, 8)]
)
def test_starts_broadcast_to_the_ends(starts):
    model, ends = seeded(mlp), torch.rand(2, 3, 8, 8)
    field = extract_field(model, Paths(starts, ends), steps=3)
    torch.testing.assert_close(field, extract_field(model, Paths(starts.expand_as(ends).clone(), ends), steps=3))


@pytest.mark.usefixtures("without_shape_checks")
def test_paths_that_make_no_sense_are_refused():
    ends = torch.rand(2, 3, 8, 8)
    with pytest.raises(ValueError, match=r"starts \(5,\) do not broadcast to ends \(2, 3, 8, 8\)"):
        Paths(torch.zeros(5), ends)
    with pytest.raises(ValueError, match="at least one path"):
        Paths(torch.zeros(()), ends[:0])
    with pytest.raises(ValueError, match="2 paths need as many labels"):
        Paths(torch.zeros(()), ends, torch.tensor([1, 2, 3]))
    with pytest.raises(ValueError, match="ends hold values that are not finite"):
        Paths(torch.zeros(()), ends / 0)
    with pytest.raises(ValueError, match="starts hold values that are not finite"):
        Paths(torch.tensor(torch.nan), ends)


def test_options_and_models_that_make_no_sense_are_refused():
    class Pair(nn.Module):
        def forward(self, points):
            return points, points

    class Root(nn.Module):
        def forward(self, points):
            return (points - points.detach()).sqrt().flatten(1)

    paths = Paths(torch.zeros(()), torch.rand(2, 3, 8, 8))
    with pytest.raises(ValueError, match="batch_size must be at least 1, not 0"):
        extract_field(seeded(mlp), paths, batch_size=0)
    with pytest.raises(ValueError, match="at least 1 step, not 0"):
        extract_field(seeded(mlp), paths, steps=0)
    with pytest.raises(TypeError, match="must return a tensor, not tuple"):
        extract_field(Pair(), paths)
    with pytest.raises(ValueError, match="gradients are not finite on path 0"):
        extract_field(Root(), paths, readout=every_output)


def test_the_core_needs_torch_and_numpy_alone():
    allowed = {"torch", "numpy", "jaxtyping", "modelgif_core", *sys.stdlib_module_names}
    for file in (ROOT / "modelgif_core").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                assert {alias.name.split(".")[0] for alias in node.names} <= allowed
            elif isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] in allowed
