"""Outputs along paths, and labels as variables: values of their formulas, and what they are blind to."""

import math

import pytest
import torch
from torch import nn

from experiments.methods.outputs.along_paths import at_ends, label_walk, potential
from experiments.methods.outputs.fbi import label_information
from experiments.testbeds.ip_protection.toy import network
from modelgif_core import Paths, extract_field
from modelgif_core.distance import standardised_cosine
from modelgif_core.quadrature import gauss_legendre

PATHS = Paths(torch.zeros(()), torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0)))


def along(model, steps=50):
    return potential(model, PATHS, steps=steps, rule=gauss_legendre)


def test_the_fields_last_step_sums_to_what_the_potential_gains():
    model, found = network(0).double(), along(network(0))
    field = extract_field(model, PATHS, steps=50)
    gained = found[:, -1] - found[:, 0]
    followed = found[:, -1].argmax(1, keepdim=True)
    assert torch.allclose(field[:, -1].sum(1).float(), gained.gather(1, followed)[:, 0], atol=1e-4)


def test_points_are_start_nodes_and_end_in_order():
    linear = nn.Sequential(nn.Flatten(), nn.Linear(64, 2, bias=False)).eval()
    found = along(linear, steps=2)
    shares = torch.tensor([0, (1 - 1 / math.sqrt(3)) / 2, (1 + 1 / math.sqrt(3)) / 2, 1])
    assert torch.allclose(found, shares[:, None] * found[:, -1:], atol=1e-6)


def test_a_walk_counts_the_points_with_other_labels_and_nothing_else():
    one = torch.eye(3)[torch.tensor([[0, 1, 2, 0], [1, 1, 1, 1]])]
    other = torch.eye(3)[torch.tensor([[0, 1, 1, 1], [1, 1, 1, 1]])]
    assert label_walk(one, other).tolist() == [0.5, 0]
    assert label_walk(one, 7 * one + 3).tolist() == [0, 0]


def test_potentials_that_differ_by_a_shift_and_a_scale_of_all_logits_are_the_same():
    found = along(network(0))
    assert torch.allclose(standardised_cosine(found, 3 * found + 5), torch.zeros(3), atol=1e-6)
    assert (standardised_cosine(found, along(network(1))) > 0.05).all()


def test_label_information_has_its_textbook_values():
    four = torch.eye(4)[torch.arange(16) % 4]
    halves = torch.eye(4)[torch.arange(16) % 4 // 2]
    independent = torch.eye(4)[torch.arange(16) // 4]
    constant = torch.eye(4)[torch.zeros(16, dtype=torch.long)]
    assert label_information(four, four.flip(1)) == pytest.approx(0, abs=1e-6)
    assert label_information(four, halves) == pytest.approx(0, abs=1e-6)  # the finer tells the coarser
    assert label_information(four, independent) == pytest.approx(1)
    assert label_information(four, constant) == 1
    assert label_information(constant, constant.flip(1)) == 0
    with pytest.raises(ValueError, match="the label of one sample tells nothing"):
        label_information(four[:1], four[:1])
    eighth = four.clone()
    eighth[:2] = four[[1, 0]]
    joint = torch.tensor([[3, 1, 0, 0], [1, 3, 0, 0], [0, 0, 4, 0], [0, 0, 0, 4]]) / 16
    told = sum(p * math.log(p * 16) for p in joint.flatten().tolist() if p)
    assert label_information(four, eighth) == pytest.approx(1 - told / math.log(4))


def test_labels_of_other_samples_are_refused():
    with pytest.raises(ValueError, match="not 4 with 3"):
        label_information(torch.eye(4), torch.eye(3))


def test_answers_at_ends_are_the_last_of_those_along_the_path():
    assert torch.allclose(at_ends(network(0), PATHS), along(network(0))[:, -1])
