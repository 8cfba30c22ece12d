"""Faster arithmetic is proved on every model, or refused."""

import pytest
import torch
from torch import nn

from modelgif_core import Fast, Paths, cosine, extract_field

PATHS = Paths(torch.zeros(()), torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(0)))


def network(seed=0):
    torch.manual_seed(seed)
    layers = [nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, stride=2), nn.ReLU(), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(784, 10)).eval()


def test_lower_precision_gives_nearly_the_same_field_and_not_the_same_bits():
    plain = extract_field(network(), PATHS, steps=5)
    lower = extract_field(network(), PATHS, steps=5, fast=Fast("bfloat16", tolerance=0.02))
    assert lower.dtype == plain.dtype
    assert 0 < float(cosine(plain, lower).mean()) < 0.02


def test_arithmetic_that_changes_the_field_is_refused_with_its_change():
    with pytest.raises(ValueError, match=r"bfloat16.*changes the field by .*tolerance"):
        extract_field(network(), PATHS, steps=5, fast=Fast("bfloat16", tolerance=0.0))


def test_a_model_that_does_not_survive_lower_precision_is_refused():
    model = network()
    with torch.no_grad():
        model[0].weight *= 1e6  # beyond the largest float16
        model[0].bias *= 1e6
    with pytest.raises(ValueError, match="changes the field"):
        extract_field(model, PATHS, steps=5, fast=Fast("float16"))


def test_outputs_are_read_in_full_precision():
    seen = []

    def readout(output, labels):
        seen.append(output.dtype)
        return torch.ones_like(output)

    extract_field(network(), PATHS, steps=2, readout=readout, fast=Fast("bfloat16", tolerance=0.1))
    assert set(seen) == {torch.float32}


def test_the_precision_of_the_process_is_as_it_was():
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    extract_field(network(), PATHS, steps=2, fast=Fast("tf32"))
    assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == before
    assert not torch.is_autocast_enabled("cpu")


def test_a_dead_path_proves_nothing_and_stops_nothing():
    model = network()
    nn.init.zeros_(model[-1].weight)
    assert not extract_field(model, PATHS, steps=2, fast=Fast("bfloat16")).any()


@pytest.mark.slow
def test_a_compiled_model_has_the_same_field():
    plain = extract_field(network(), PATHS, steps=5)
    compiled = extract_field(network(), PATHS, steps=5, batch_size=10, fast=Fast(mode="default", tolerance=1e-6))
    assert torch.allclose(plain, compiled, atol=1e-6)
