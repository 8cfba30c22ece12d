"""ModelDiff's distance vectors and JPEG's samples."""

from functools import partial

import pytest
import torch
from torch.nn.functional import cosine_similarity

from experiments.interfaces import Offered, Samples, ZooModel
from experiments.methods.fingerprints.modeldiff import decision_distance, decision_distances, twin_samples
from experiments.queries.jpeg import jpeg_samples
from experiments.queries.samples import random_samples
from experiments.testbeds.ip_protection.toy import network
from modelgif_core.readout import every_output

IMAGES = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(1))
TWINS = partial(twin_samples, seed=3, epsilon=0.1, step=0.02, iterations=5, readout=every_output)


def offered(budget=8, images=IMAGES):
    return Offered(Samples(images), budget, ZooModel("source", "victim", "toy", partial(network, 0)))


def test_the_second_half_are_twins_of_the_first_within_the_radius():
    found = TWINS(offered()).inputs
    assert torch.equal(found[:4], random_samples(offered(4), seed=3).inputs)
    moved = (found[:4] - found[4:]).abs().amax((1, 2, 3))
    assert moved.max() <= 0.1 + 1e-6
    assert moved.min() > 0
    with pytest.raises(ValueError, match="take an even budget, not 7"):
        TWINS(offered(7))


def test_a_vector_holds_one_minus_the_cosine_of_each_pairs_probabilities():
    outputs = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    found = decision_distances(outputs)
    for pair in range(3):
        one, other = outputs[pair].softmax(0), outputs[pair + 3].softmax(0)
        assert float(found[pair]) == pytest.approx(1 - float(cosine_similarity(one, other, dim=0)), abs=1e-6)


def test_the_distance_is_one_minus_the_cosine_of_two_vectors_and_blind_to_the_names_of_classes():
    one, other = torch.randn(2, 8, 5, generator=torch.Generator().manual_seed(0))
    expected = 1 - float(cosine_similarity(decision_distances(one), decision_distances(other), dim=0))
    assert float(decision_distance(one, other)) == pytest.approx(expected, abs=1e-6)
    assert float(decision_distance(one, other[:, [4, 2, 0, 1, 3]])) == pytest.approx(expected, abs=1e-6)
    assert float(decision_distance(one, one)) == 0


def test_outputs_that_no_twin_moves_are_like_others_of_that_kind_only():
    still, moving = torch.ones(4, 3), torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    assert float(decision_distance(still, still)) == 0
    assert float(decision_distance(still, moving)) == 1


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_damages_more_at_lower_quality_and_keeps_the_range(channels):
    place = offered(4, torch.rand(20, channels, 16, 16, generator=torch.Generator().manual_seed(2)))
    clean = random_samples(place, seed=0).inputs
    damage = [float((jpeg_samples(place, seed=0, quality=quality).inputs - clean).abs().mean()) for quality in (1, 100)]
    assert damage[0] > damage[1] > 0
    found = jpeg_samples(place, seed=0, quality=5).inputs
    assert found.shape == clean.shape
    assert 0 <= found.min() < found.max() <= 1


def test_jpeg_refuses_what_it_cannot_take():
    with pytest.raises(ValueError, match="quality must lie between 1 and 100, as JPEG's does, not 0"):
        jpeg_samples(offered(4), seed=0, quality=0)
    with pytest.raises(ValueError, match=r"grey or coloured images, not samples of shape \(2, 8, 8\)"):
        jpeg_samples(offered(4, torch.rand(9, 2, 8, 8)), seed=0, quality=50)
