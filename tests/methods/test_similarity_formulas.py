"""Feature similarities and the parts of DDS are what their formulas, and libraries, say."""

from functools import partial

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from scipy.spatial import procrustes as scipy_procrustes
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr
from sklearn.cross_decomposition import CCA
from sklearn.metrics import pairwise

from experiments.methods.features import dds, similarity

NORMALISATIONS = [
    dds.no_norm,
    dds.centring,
    dds.z_norm,
    dds.group_norm,
    dds.instance_norm,
    dds.layer_norm,
    dds.batch_norm,
]
KERNELS = [dds.linear, dds.rbf, dds.laplacian, dds.pearson, dds.euclidean, dds.cosine]


def features(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def related(a, seed=9, noise=0.8):
    return a + noise * features(*a.shape, seed=seed)


def value(distance, a, b):
    result = distance(a, b)
    assert result.shape == ()
    return result.item()


def test_rsa_is_the_rank_correlation_of_dissimilarities():
    a, b = features(30, 12), related(features(30, 12))
    upper = np.triu_indices(30, 1)
    expected = spearmanr(1 - np.corrcoef(a)[upper], 1 - np.corrcoef(b)[upper]).statistic
    assert value(similarity.rsa, a, b) == pytest.approx(1 - expected)


def test_cka_has_its_textbook_form_in_feature_space():
    a, b = features(30, 12), related(features(30, 12))
    x, y = (m - m.mean(0) for m in (a, b))
    expected = (x.T @ y).norm() ** 2 / ((x.T @ x).norm() * (y.T @ y).norm())
    assert value(similarity.cka, a, b) == pytest.approx(1 - expected.item())


def test_debiased_cka_and_linear_dds_are_normalised_unbiased_hsic():
    a, b = features(30, 12), related(features(30, 12))

    def hsic(x, y):  # Song et al. (2012), equation 5
        n, k, l = len(x), x @ x.T, y @ y.T  # noqa: E741
        k, l = (m - m.diag().diag() for m in (k, l))  # noqa: E741
        return (k * l).sum() + k.sum() * l.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (k @ l).sum()

    expected = 1 - (hsic(a, b) / (hsic(a, a) * hsic(b, b)).sqrt()).item()
    assert value(similarity.cka_debiased, a, b) == pytest.approx(expected)
    linear = partial(dds.dds, normalise=dds.no_norm, kernel=dds.linear)
    assert value(linear, a, b) == pytest.approx(expected)


def test_cca_distances_agree_with_scikit_learn():
    a, b = features(300, 4), related(features(300, 4)) @ features(4, 3, seed=7)
    x, y = CCA(3, scale=False, max_iter=10_000, tol=1e-12).fit_transform(a.numpy(), b.numpy())
    correlations = np.array([np.corrcoef(x[:, i], y[:, i])[0, 1] for i in range(3)])
    everything = partial(similarity.svcca, variance=1.0)
    assert value(everything, a, b) == pytest.approx(1 - correlations.mean(), abs=1e-6)

    def weighted(variates, original):
        unit = variates / np.linalg.norm(variates, axis=0)
        return np.average(correlations, weights=np.abs(unit.T @ (original - original.mean(0)).numpy()).sum(1))

    expected = 1 - (weighted(x, a) + weighted(y, b)) / 2
    assert value(similarity.pwcca, a, b) == pytest.approx(expected, abs=1e-6)


def test_procrustes_agrees_with_scipy():
    a, b = features(30, 6), related(features(30, 6))
    _, _, disparity = scipy_procrustes(a.numpy(), b.numpy())
    overlap = 1 - value(similarity.procrustes, a, b)
    assert 1 - overlap**2 == pytest.approx(disparity)


def test_mutual_neighbours_agree_with_counting():
    a, b = features(30, 6), related(features(30, 6))

    def nearest(x):
        cosines = torch.nn.functional.cosine_similarity(x[:, None], x[None], dim=2).fill_diagonal_(-2)
        return cosines.topk(5).indices.tolist()

    shared = [len({*p} & {*q}) / 5 for p, q in zip(nearest(a), nearest(b), strict=True)]
    assert value(partial(similarity.mutual_knn, k=5), a, b) == pytest.approx(1 - np.mean(shared))


def test_kernels_agree_with_scikit_learn():
    x = features(20, 7).numpy()
    gamma = 1 / (2 * (0.5 * np.median(pdist(x))) ** 2)
    for ours, theirs in [
        (dds.linear(x), pairwise.linear_kernel(x)),
        (dds.rbf(x), pairwise.rbf_kernel(x, gamma=gamma)),
        (dds.laplacian(x), pairwise.laplacian_kernel(x, gamma=1 / 7)),
        (dds.pearson(x), pairwise.pairwise_distances(x, metric="correlation")),
        (dds.euclidean(x), pairwise.euclidean_distances(x)),
        (dds.cosine(x), pairwise.cosine_distances(x)),
    ]:
        np.testing.assert_allclose(ours, theirs, atol=1e-7)


def test_normalisations_standardise_what_they_say():
    x = 3 * features(20, 4, 5, 5) + 7
    for normalised, over in [
        (dds.z_norm(x).reshape(x.shape), 0),
        (dds.instance_norm(x), (2, 3)),
        (dds.layer_norm(x), (1, 2, 3)),
        (dds.batch_norm(x), (0, 2, 3)),
        (dds.group_norm(x).reshape(20, 2, 2, 5, 5), (2, 3, 4)),
    ]:
        assert normalised.mean(over).abs().max() < 1e-9
        torch.testing.assert_close(normalised.var(over, correction=0), torch.ones_like(normalised.mean(over)))
    with pytest.raises(ValueError, match="groups must divide the 4 channels"):
        dds.group_norm(x, groups=3)
    with pytest.raises(ValueError, match="several positions"):
        dds.instance_norm(features(20, 4))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("normalise", NORMALISATIONS)
def test_every_normalisation_goes_with_every_kernel(normalise, kernel):
    distance = partial(dds.dds, normalise=normalise, kernel=kernel)
    a = features(30, 4, 3, 3)
    assert value(distance, a, a.clone()) == pytest.approx(0, abs=1e-9)
    assert 0 < value(distance, a, related(a, noise=0.2)) < value(distance, a, features(30, 4, 3, 3, seed=1))


def test_yaml_picks_any_kernel_and_normalisation(config):
    changes = [
        "kernel._target_=experiments.methods.features.dds.rbf",
        "normalise._target_=experiments.methods.features.dds.layer_norm",
    ]
    composed = config("method=dds_cosine", *[f"method.distance.{change}" for change in changes])
    a, b = features(30, 4), related(features(30, 4))
    expected = dds.dds(a, b, normalise=dds.layer_norm, kernel=dds.rbf)
    assert instantiate(composed["method"], _convert_="all").distance(a, b) == expected
