"""Distances between outputs, and what they are blind to."""

import math

import pytest
import torch

from experiments.methods.outputs.pointwise import agreement, jensen_shannon, logit_cosine, outputs
from experiments.methods.outputs.sac import sample_correlation
from experiments.samples import toy as images
from experiments.testbeds.ip_protection.toy import network


def test_sac_does_not_care_how_classes_are_numbered_and_agreement_does():
    found = outputs(network(0), images.toy())
    renumbered = found.roll(1, dims=1)
    assert sample_correlation(found, renumbered) == pytest.approx(0, abs=1e-6)
    assert agreement(found, renumbered).mean() == 1


def test_output_distances_have_their_textbook_values():
    one, other = torch.tensor([[80.0, 0, 0]]), torch.tensor([[0, 80.0, 0]])
    assert jensen_shannon(one, other).item() == pytest.approx(math.log(2))
    assert logit_cosine(one, one + 5).item() == pytest.approx(0, abs=1e-6)
    assert agreement(one, other).item() == 1
    for distance in (jensen_shannon, logit_cosine):
        with pytest.raises(ValueError, match="one shape"):
            distance(one, torch.zeros(1, 4))


def test_maps_of_features_are_no_outputs_of_a_classifier():
    with pytest.raises(ValueError, match=r"come from classifiers, whose outputs are \(samples, classes\), not \(64, 8"):
        outputs(network(0)[:1], images.toy())
