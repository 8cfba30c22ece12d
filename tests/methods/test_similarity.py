"""Feature similarities: what each is blind to, and what it refuses."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from experiments.interfaces import Samples
from experiments.methods.features import dds, similarity

COSINE = partial(dds.dds, normalise=dds.z_norm, kernel=dds.cosine)
LAPLACIAN = partial(dds.dds, normalise=dds.z_norm, kernel=dds.laplacian)
NAMED = {
    "rsa": similarity.rsa,
    "cka": similarity.cka,
    "cka_debiased": similarity.cka_debiased,
    "svcca": similarity.svcca,
    "pwcca": similarity.pwcca,
    "procrustes": similarity.procrustes,
    "mutual_knn": similarity.mutual_knn,
    "dds_cosine": COSINE,
    "dds_laplacian": LAPLACIAN,
}
DISTANCES = pytest.mark.parametrize("distance", NAMED.values(), ids=NAMED)


def features(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def related(a, seed=9, noise=0.8):
    return a + noise * features(*a.shape, seed=seed)


def rotation(size, seed=5):
    return torch.linalg.qr(features(size, size, seed=seed)).Q


def value(distance, a, b):
    result = distance(a, b)
    assert result.shape == ()
    return result.item()


@DISTANCES
@pytest.mark.parametrize("shape", [(40, 6), (40, 6, 3, 3)], ids=["vectors", "maps"])
def test_a_distance_is_zero_on_itself_symmetric_and_larger_for_strangers(distance, shape):
    a = features(*shape).float()
    b, stranger = related(a, noise=0.2).float(), features(*shape, seed=1).float()
    assert value(distance, a, a.clone()) == pytest.approx(0, abs=1e-9)
    assert 0 < value(distance, a, b) < value(distance, a, stranger) <= 2
    assert value(distance, a, b) == pytest.approx(value(distance, b, a), abs=1e-9)


@DISTANCES
def test_numbers_of_features_may_differ_and_numbers_of_samples_may_not(distance):
    a = features(40, 6, 3, 3)
    assert 0 < value(distance, a, features(40, 9, 3, 3, seed=1)) < 2
    with pytest.raises(ValueError, match="of the same samples"):
        distance(a, a[:39])


@DISTANCES
def test_scale_never_matters(distance):
    a, b = features(40, 6, 3, 3), related(features(40, 6, 3, 3))
    assert value(distance, 100 * a, b) == pytest.approx(value(distance, a, b), abs=1e-9)


@pytest.mark.parametrize(
    ("name", "blind"),
    [
        ("cka", True),
        ("cka_debiased", True),
        ("procrustes", True),
        ("svcca", True),
        ("mutual_knn", True),
        ("rsa", False),
        ("pwcca", False),
        ("dds_cosine", False),
        ("dds_laplacian", False),
    ],
)
def test_who_is_blind_to_rotation(name, blind):
    a, b = features(40, 6) * torch.arange(1, 7), related(features(40, 6))
    change = value(NAMED[name], a @ rotation(6), b) - value(NAMED[name], a, b)
    assert (abs(change) < 1e-9) == blind


@pytest.mark.parametrize(
    ("name", "blind"),
    [
        ("cka", True),
        ("cka_debiased", True),
        ("procrustes", True),
        ("svcca", True),
        ("pwcca", True),
        ("dds_cosine", True),
        ("dds_laplacian", True),
        ("rsa", False),
        ("mutual_knn", False),
    ],
)
def test_who_is_blind_to_a_shift_of_every_feature(name, blind):
    a, b = features(40, 6), related(features(40, 6))
    change = value(NAMED[name], a + 3 * features(6, seed=2), b) - value(NAMED[name], a, b)
    assert (abs(change) < 1e-9) == blind


def test_rsa_is_blind_to_scale_and_shift_of_each_sample():
    a, b = features(40, 30), related(features(40, 30))
    changed = a * (1 + torch.rand(40, 1, dtype=torch.float64)) + 5 * features(40, 1, seed=3)
    assert value(similarity.rsa, changed, b) == pytest.approx(value(similarity.rsa, a, b), abs=1e-9)


def test_mutual_neighbours_are_blind_to_the_length_of_each_sample():
    a, b = features(40, 6), related(features(40, 6))
    stretched = a * (1 + 9 * torch.rand(40, 1, dtype=torch.float64))
    assert value(similarity.mutual_knn, stretched, b) == value(similarity.mutual_knn, a, b)


@pytest.mark.parametrize("distance", [COSINE, LAPLACIAN])
def test_z_normalised_dds_is_blind_to_scale_and_shift_of_each_feature_and_plain_dds_is_not(distance):
    a, b = features(40, 6), related(features(40, 6))
    changed = a * torch.logspace(-2, 2, 6) + 5
    assert value(distance, changed, b) == pytest.approx(value(distance, a, b), abs=1e-9)
    plain = partial(dds.dds, normalise=dds.no_norm, kernel=dds.laplacian)
    assert value(plain, changed, b) != pytest.approx(value(plain, a, b), abs=1e-3)


def test_svcca_is_blind_to_invertible_maps_if_all_variance_is_kept():
    a, b = features(200, 6), related(features(200, 6))
    changed = a @ (rotation(6) * torch.logspace(-2, 2, 6)) @ rotation(6, seed=6)
    everything = partial(similarity.svcca, variance=1.0)
    assert value(everything, changed, b) == pytest.approx(value(everything, a, b), abs=1e-9)
    assert value(similarity.svcca, changed, b) != pytest.approx(value(similarity.svcca, a, b), abs=1e-3)
    with pytest.raises(ValueError, match=r"variance must lie above 0 and at most at 1, not 99"):
        similarity.svcca(a, b, variance=99)


def test_directions_that_rounding_made_do_not_count():
    a, b = features(40, 6, 3, 3).float(), features(40, 6, 3, 3, seed=1).float()
    copied = a[:, :1] + a[:, 1:2] + 3e-7 * features(40, 1, 3, 3, seed=2).float()
    padded = torch.cat([a, copied, torch.zeros(40, 1, 3, 3)], 1)
    everything = partial(similarity.svcca, variance=1.0)
    assert value(everything, padded, b) == pytest.approx(value(everything, a, b), abs=1e-6)


def test_dissimilarities_that_differ_by_rounding_are_ties():
    a, b = features(30, 2), features(30, 2, seed=1)  # two features correlate at 1 or -1
    assert value(similarity.rsa, a, b) == pytest.approx(
        value(similarity.rsa, a.diff().sign() * torch.tensor([-1, 1]), b)
    )


def test_only_debiased_measures_see_that_wide_random_features_are_unrelated():
    a, b = features(32, 5000), features(32, 5000, seed=1)
    assert value(similarity.cka, a, b) < 0.02
    assert value(similarity.cka_debiased, a, b) == pytest.approx(1, abs=0.1)
    assert value(COSINE, a, b) == pytest.approx(1, abs=0.1)
    assert value(similarity.procrustes, a, b) < 0.1


def test_positions_are_features_to_all_but_cca_to_which_they_are_data_points():
    a, b = features(20, 4, 3, 3), related(features(20, 4, 3, 3))
    for name, distance in NAMED.items():
        if name in ("svcca", "pwcca"):
            arranged = [x.permute(0, 2, 3, 1).reshape(-1, 4) for x in (a, b)]
            with pytest.raises(ValueError, match="positions are data points and must agree"):
                distance(a, b[..., :2])
        else:
            arranged = [x.flatten(1) for x in (a, b)]
        assert value(distance, a, b) == pytest.approx(value(distance, *arranged), abs=1e-9)


@pytest.mark.parametrize(
    ("name", "samples", "message"),
    [
        ("rsa", 2, "at least 3 samples, not 2"),
        ("cka", 1, "at least 2 samples, not 1"),
        ("cka_debiased", 3, "at least 4 samples, not 3"),
        ("dds_cosine", 3, "at least 4 samples, not 3"),
        ("procrustes", 1, "at least 2 samples, not 1"),
        ("mutual_knn", 10, "k must lie between 1 and 9"),
        ("svcca", 12, r"6 \+ 6 directions need more than 12 data points"),
        ("pwcca", 12, r"6 \+ 6 directions need more than 12 data points"),
    ],
)
def test_too_few_samples_are_refused(name, samples, message):
    a, b = features(samples, 6), features(samples, 6, seed=1)
    with pytest.raises(ValueError, match=message):
        NAMED[name](a, b)


@DISTANCES
def test_features_that_never_differ_are_refused(distance):
    constant = torch.full((40, 1, 1, 1), 0.1).expand(40, 6, 3, 3) * torch.arange(1, 7)[:, None, None]
    assert value(distance, features(40, 6, 3, 3), features(40, 6, 3, 3, seed=1)) > 0
    for pair in [(constant, features(40, 6, 3, 3)), (features(40, 6, 3, 3), constant)]:
        with pytest.raises(ValueError, match="undefined: none of"):
            distance(*pair)


@DISTANCES
def test_single_constant_features_change_nothing(distance):
    a, b = features(40, 6, 3, 3), related(features(40, 6, 3, 3))
    padded = torch.cat([a, torch.zeros(40, 1, 3, 3)], 1)
    assert np.isfinite(value(distance, padded, b))


def test_a_sample_without_any_feature_is_named():
    dead = features(20, 6)
    dead[7] = 0
    plain = partial(dds.dds, normalise=dds.no_norm)
    for distance in (similarity.rsa, similarity.mutual_knn, partial(plain, kernel=dds.pearson)):
        with pytest.raises(ValueError, match=r"undefined: all features of sample 7"):
            distance(features(20, 6), dead)
    with pytest.raises(ValueError, match="kernel is undefined"):
        plain(features(20, 6), dead, kernel=dds.cosine)


@pytest.mark.filterwarnings("ignore:An input array is constant")
def test_relations_that_are_equal_for_all_samples_are_refused():
    simplex = torch.eye(8, dtype=torch.float64)
    for distance in (similarity.rsa, similarity.cka_debiased):
        with pytest.raises(ValueError, match="undefined"):
            distance(features(8, 8), simplex)


def test_features_are_outputs_of_any_shape_without_gradients():
    samples = Samples(torch.rand(5, 3, 8, 8))
    model = nn.Conv2d(3, 4, 3)
    found = similarity.features(model, samples)
    assert found.shape == (5, 4, 6, 6)
    assert not found.requires_grad
    with torch.no_grad():
        model.bias[0] = torch.nan
    with pytest.raises(ValueError, match="not finite"):
        similarity.features(model, samples)
