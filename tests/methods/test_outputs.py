"""Distances between outputs, and what they are blind to."""

import math

import pytest
import torch

from experiments.interfaces import Offered, Samples
from experiments.methods.outputs.pointwise import agreement, jensen_shannon, logit_cosine, outputs
from experiments.methods.outputs.sac import corner_cutmix_samples, sample_correlation
from experiments.queries.samples import random_samples
from experiments.samples import toy as images
from experiments.testbeds.ip_protection.toy import network


def test_sac_does_not_care_how_classes_are_numbered_and_agreement_does():
    found = outputs(network(0), images.toy())
    renumbered = found.roll(1, dims=1)
    assert sample_correlation(found, renumbered) == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match="a correlation between samples needs two or more"):
        sample_correlation(found[:1], renumbered[:1])
    assert agreement(found, renumbered).mean() == 1


def test_sac_is_half_the_mean_difference_of_cosines_between_samples():
    upright, parallel = torch.tensor([[1.0, 0], [0, 2]]), torch.tensor([[1.0, 0], [3, 0]])
    assert sample_correlation(upright, parallel).item() == pytest.approx(0.25)  # of four cosines two differ, by 1


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


@pytest.mark.parametrize("size", [4, 8, 20])
def test_a_corner_box_is_pasted_into_images_of_any_size(size):
    images = torch.rand(6, 1, size, size, generator=torch.Generator().manual_seed(0))
    place = Offered(Samples(images), 6)
    mixed = corner_cutmix_samples(place, seed=0, transpose=False).inputs
    changed = (mixed != random_samples(place, seed=0).inputs).flatten(1).float().mean(1)
    assert changed.max() > 0
    assert changed.max() < 0.3
    assert corner_cutmix_samples(place, seed=0, side=1).inputs.shape == images.shape
    for side in (0, -0.2, 1.5):
        with pytest.raises(ValueError, match=f"side must be a share of the image's, above 0 and at most 1, not {side}"):
            corner_cutmix_samples(place, seed=0, side=side)
