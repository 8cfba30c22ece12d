"""A perturbation of all images, and FBI's places of the true class."""

from functools import partial

import pytest
import torch
from torch.nn.functional import cosine_similarity

from experiments.interfaces import Offered, Samples, ZooModel
from experiments.methods.fingerprints.uap import movement_cosine, perturbation, universal_samples
from experiments.methods.outputs.fbi import label_information, places
from experiments.networks.forward import predictions
from experiments.testbeds.ip_protection.toy import network

IMAGES = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(1))
UAP = partial(universal_samples, seed=0, epsilon=0.2, step=0.05, rounds=5)


def offered(budget=8):
    return Offered(Samples(IMAGES), budget, ZooModel("source", "victim", "toy", partial(network, 0)))


def test_the_second_half_is_the_first_under_one_perturbation_within_the_radius():
    found = UAP(offered()).inputs
    clean, moved = found.chunk(2)
    assert len({one.numpy().tobytes() for one in clean}) == 4
    assert all(any(torch.equal(one, image) for image in IMAGES) for one in clean)
    assert (moved - clean).abs().max() <= 0.2 + 1e-6
    inside = (moved > 0) & (moved < 1)
    change = (moved - clean)[:, 0]
    both = inside[0, 0] & inside[1, 0]
    assert torch.allclose(change[0][both], change[1][both], atol=1e-6)
    assert 0 <= moved.min() < moved.max() <= 1


def test_it_takes_more_images_from_their_labels_than_noise_of_the_same_size_does():
    model = network(0)
    labels = predictions(model, IMAGES).argmax(1)
    made = perturbation(model, IMAGES, labels, epsilon=0.2, step=0.05, rounds=10, seed=0)
    noise = 0.2 * torch.randn(1, 8, 8, generator=torch.Generator().manual_seed(3)).sign()
    fooled = [
        float((predictions(model, (IMAGES + one).clamp(0, 1)).argmax(1) != labels).float().mean())
        for one in (made, noise)
    ]
    assert fooled[0] > fooled[1]


def test_the_distance_is_one_minus_the_cosine_of_all_changes_of_probabilities():
    one, other = torch.randn(2, 8, 5, generator=torch.Generator().manual_seed(0))
    changes = [(each.softmax(1)[4:] - each.softmax(1)[:4]).flatten() for each in (one, other)]
    expected = 1 - float(cosine_similarity(*changes, dim=0))
    assert float(movement_cosine(one, other)) == pytest.approx(expected, abs=1e-5)
    assert float(movement_cosine(one, one)) == 0
    assert movement_cosine(one, torch.ones(8, 5)).isnan()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"epsilon": 2}, "epsilon must lie above 0 and at most at 1, the range of pixels, not 2"),
        ({"step": 0}, "step must lie above 0"),
        ({"rounds": 0}, "rounds must be at least 1, not 0"),
    ],
)
def test_settings_out_of_range_are_refused(changes, reason):
    with pytest.raises(ValueError, match=reason):
        UAP(offered(), **changes)


def test_an_odd_budget_has_no_twins():
    with pytest.raises(ValueError, match="take an even budget, not 7"):
        UAP(offered(7))


def test_places_say_where_the_true_class_stands_among_the_most_likely_ones():
    model = torch.nn.Sequential(torch.nn.Flatten())
    logits = torch.tensor([[3.0, 2.0, 1.0, 0.0]]).repeat(4, 1).view(4, 1, 1, 4)
    found = places(model, Samples(logits, torch.tensor([0, 1, 2, 3])), top=2)
    assert found.argmax(1).tolist() == [1, 2, 0, 0]
    with pytest.raises(ValueError, match="needs labelled samples"):
        places(model, Samples(logits), top=2)
    with pytest.raises(ValueError, match="top must lie between 1 and the 4 classes, not 5"):
        places(model, Samples(logits, torch.zeros(4, dtype=torch.long)), top=5)


def test_equal_places_tell_all_of_each_other_whatever_the_classes():
    one = torch.eye(3)[[0, 1, 2, 0, 1, 2]]
    assert float(label_information(one, one)) == 0
