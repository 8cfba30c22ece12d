"""Faster arithmetic is proved on every prepared model, or refused; the plain field has all its digits."""

import pytest
import torch
from torch import nn

from modelgif_core import Fast, Paths, cosine, extract_field, prepared
from modelgif_core.fast import NVIDIA, PROCESSOR, float32_products

PATHS = Paths(torch.zeros(()), torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(0)))


def network(seed=0):
    torch.manual_seed(seed)
    layers = [nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, stride=2), nn.ReLU(), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(784, 10)).eval()


def hurried(model, *options, **named):
    return prepared(model, PATHS.ends[:1], fast=Fast(*options, **named))


def arithmetic():
    return [place.fp32_precision for place in (*NVIDIA, *PROCESSOR)]


def test_lower_precision_gives_nearly_the_same_field_and_not_the_same_bits():
    plain = extract_field(network(), PATHS, steps=5)
    lower = extract_field(hurried(network(), "bfloat16", tolerance=0.02), PATHS, steps=5)
    assert lower.dtype == plain.dtype
    assert 0 < float(cosine(plain, lower).mean()) < 0.02


def test_arithmetic_that_changes_the_field_is_refused_with_its_change():
    with pytest.raises(ValueError, match=r"bfloat16.*changes the field by .*tolerance"):
        extract_field(hurried(network(), "bfloat16", tolerance=0.0), PATHS, steps=5)


def test_a_model_that_does_not_survive_lower_precision_is_refused():
    model = network()
    with torch.no_grad():
        model[0].weight *= 1e6  # beyond the largest float16
        model[0].bias *= 1e6
    with pytest.raises(ValueError, match="changes the field"):
        extract_field(hurried(model, "float16"), PATHS, steps=5)


@pytest.mark.parametrize("scale", [1e-12, 1.0])
def test_the_proof_does_not_depend_on_how_long_gradients_are(scale):
    model = network()
    with torch.no_grad():
        model[-1].weight *= scale
    extract_field(hurried(model, "bfloat16", tolerance=0.02), PATHS, steps=5)


def test_outputs_are_read_in_full_precision():
    seen = []

    def readout(output, labels):
        seen.append(output.dtype)
        return torch.ones_like(output)

    extract_field(hurried(network(), "bfloat16", tolerance=0.1), PATHS, steps=2, readout=readout)
    assert set(seen) == {torch.float32}


def test_a_model_is_proved_once_and_on_the_first_path_that_is_not_dead():
    model, gradients = network(), []
    model.register_forward_pre_hook(
        lambda module, inputs: gradients.append(len(inputs[0])) if inputs[0].requires_grad else None
    )
    ready = hurried(model, "bfloat16", tolerance=0.02)
    ends = PATHS.ends.clone()
    ends[:2] = 0  # paths of no length
    extract_field(ready, Paths(torch.zeros(()), ends), steps=5)
    assert gradients == [30, 5, 5, 5]
    gradients.clear()
    extract_field(ready, PATHS, steps=5)
    assert gradients == [30]


def test_a_dead_first_path_passes_no_tolerance():
    ends = PATHS.ends.clone()
    ends[0] = 0
    with pytest.raises(ValueError, match="changes the field"):
        extract_field(hurried(network(), "bfloat16", tolerance=0.0), Paths(torch.zeros(()), ends), steps=5)


def test_a_model_that_is_dead_everywhere_proves_nothing():
    model = network()
    nn.init.zeros_(model[-1].weight)
    with pytest.raises(ValueError, match="all 6 paths are dead"):
        extract_field(hurried(model, "bfloat16"), PATHS, steps=2)


@pytest.mark.parametrize("precision", ["bfloat16", "float16", "tf32"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_lower_precision_is_refused_where_it_has_no_effect(precision, dtype):
    with pytest.raises(ValueError, match=rf"{precision} speeds up models in float32, not {dtype}"):
        hurried(network().to(dtype), precision)


def test_tf32_is_refused_where_there_is_none():
    with pytest.raises(ValueError, match="tf32 has no effect on cpu"):
        hurried(network(), "tf32")


def test_options_that_do_nothing_are_refused():
    with pytest.raises(ValueError, match="does nothing"):
        Fast()
    with pytest.raises(ValueError, match="tolerance must be from 0 to 2"):
        Fast("bfloat16", tolerance=3.0)


@pytest.mark.parametrize("chosen", ["highest", "medium"])
@pytest.mark.parametrize("fails", [False, True])
def test_the_plain_field_has_all_its_digits_whatever_the_process_chose_and_the_choice_stays(chosen, fails):
    seen = []

    def readout(output, labels):
        seen.extend(arithmetic())
        if fails:
            raise ArithmeticError
        return torch.ones_like(output)

    model = network()
    model.register_forward_pre_hook(lambda module, inputs: seen.extend(arithmetic()))
    try:
        torch.set_float32_matmul_precision(chosen)
        before = arithmetic(), torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
        if fails:
            with pytest.raises(ArithmeticError):
                extract_field(model, PATHS, steps=20, readout=readout)
        else:
            extract_field(model, PATHS, steps=20, readout=readout)
        assert set(seen) == {"ieee"}
        assert (arithmetic(), torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == before
        assert "tf32" in before[0]  # or there was nothing to switch off
    finally:
        torch.set_float32_matmul_precision("highest")


def test_tf32_is_switched_on_for_nvidia_alone_and_off_again():
    before = arithmetic()
    with float32_products("tf32"):
        assert arithmetic() == ["tf32"] * 3 + ["ieee"] * 3
    assert arithmetic() == before


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
def test_on_nvidia_the_plain_field_is_not_in_tf32_and_a_hurried_one_is():
    model = network().to("cuda")
    exact = extract_field(network().double(), PATHS, steps=5).float()
    plain = extract_field(model, PATHS, steps=5).cpu()
    lower = extract_field(hurried(model, "tf32"), PATHS, steps=5).cpu()
    assert (plain - exact).norm() < 1e-5 * exact.norm()
    assert 1e-5 * exact.norm() < (lower - exact).norm() < 1e-1 * exact.norm()


@pytest.mark.slow
def test_a_compiled_model_has_the_same_field():
    plain = extract_field(network(), PATHS, steps=5)
    compiled = extract_field(hurried(network(), mode="default", tolerance=1e-6), PATHS, steps=5, batch_size=10)
    assert torch.allclose(plain, compiled, atol=1e-6)
