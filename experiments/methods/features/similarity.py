"""Similarity of two models' features on the same samples, as distances: 1 - similarity, small = related.

What each is blind to differs, and so does what it says of unrelated models: with more features than samples, biased
CKA, Procrustes and CCA call everything similar. The number of features may differ between the models.
"""

import numpy as np
from jaxtyping import Float
from scipy.linalg import qr, svd
from scipy.sparse import csr_matrix
from scipy.stats import spearmanr
from sklearn.neighbors import NearestNeighbors
from torch import Tensor, nn

from experiments.interfaces import Samples
from experiments.methods.features.matrices import (
    alignment,
    dissimilarities,
    distance,
    refuse_misfit,
    rows,
    u_centred,
    varied,
)
from experiments.networks.forward import logits
from experiments.networks.heads import penultimate


def features(model: nn.Module, samples: Samples) -> Float[Tensor, "samples channels *positions"]:
    """The model's outputs, whatever their shape: feature maps, embeddings or logits."""
    return logits(model, samples.inputs)


def penultimate_features(model: nn.Module, samples: Samples) -> Float[Tensor, "samples features"]:
    """What a classifier's last linear layer reads; ValueError if it has none."""
    return penultimate(model, samples.inputs)


def rsa(a: Tensor, b: Tensor) -> Float[Tensor, ""]:
    """One minus the Spearman correlation of the models' dissimilarities between samples: 0 (same order) to 2.

    Representational similarity analysis (Kriegeskorte et al., 2008) as Dwivedi and Roig (CVPR 2019) apply it to tasks:
    1 - Pearson correlation of two samples' features, positions flattened into features. Blind to scale and shift of
    each sample's features as a whole and to the order of features, but not to their rotation.
    """
    refuse_misfit(a, b, need=3)
    first, second = (dissimilarities(rows(features)) for features in (a, b))
    return distance(spearmanr(first, second).statistic)


def cka(a: Tensor, b: Tensor) -> Float[Tensor, ""]:
    """One minus linear CKA (Kornblith et al., ICML 2019): 0 (same) to 1.

    Positions are flattened into features. Blind to rotation, scale and shift of the features. Biased: it nears 0 for
    unrelated models too when features outnumber samples.
    """
    refuse_misfit(a, b, need=2)
    first, second = (_centred(rows(features)) for features in (a, b))
    return distance(alignment(first @ first.T, second @ second.T))


def cka_debiased(a: Tensor, b: Tensor) -> Float[Tensor, ""]:
    """One minus linear CKA from unbiased HSIC (Song et al., 2012; Nguyen et al., ICLR 2021): 0 (same) to above 1.

    Unrelated models lie around 1 however many features they have. Positions are flattened into features. Blind to
    rotation, scale and shift of the features.
    """
    refuse_misfit(a, b, need=4)
    first, second = (_centred(rows(features)) for features in (a, b))
    return distance(alignment(u_centred(first @ first.T), u_centred(second @ second.T)))


def svcca(a: Tensor, b: Tensor, *, variance: float = 0.99) -> Float[Tensor, ""]:
    """One minus the mean canonical correlation of the leading principal directions: 0 (same) to 1.

    SVCCA (Raghu et al., NeurIPS 2017), keeping directions that hold this share of each model's variance. Every
    position of a feature map is a data point, as that paper has it for convolutions. Blind to rotation, scale and
    shift of the features, and to every invertible linear map if all variance is kept.
    """
    first, second = _directions(a, b, variance)
    return distance(svd(first.T @ second, compute_uv=False).clip(0, 1).mean())


def pwcca(a: Tensor, b: Tensor) -> Float[Tensor, ""]:
    """One minus the projection-weighted mean of canonical correlations: 0 (same) to 1.

    PWCCA (Morcos et al., NeurIPS 2018): each correlation weighs as much as its canonical variate says of the model's
    features. Morcos et al. take the first model's; this is the mean over both, so that the order does not matter.
    Every position of a feature map is a data point. Blind to scale and shift of the features, but its weights change
    when they are rotated.
    """
    first, second = _directions(a, b, 1.0)
    left, correlations, right = svd(first.T @ second, full_matrices=False)
    sides = ((a, first @ left), (b, second @ right.T))
    weights = [np.abs(variates.T @ _centred(_points(features))).sum(1) for features, variates in sides]
    return distance(np.mean([np.average(correlations.clip(0, 1), weights=weight) for weight in weights]))


def procrustes(a: Tensor, b: Tensor) -> Float[Tensor, ""]:
    """One minus the overlap after the best rotation of one model's features onto the other's: 0 (same) to 1.

    Orthogonal Procrustes (Schönemann, 1966; Ding et al., NeurIPS 2021): the nuclear norm of A'B, each centred and of
    unit Frobenius norm, positions flattened into features. Blind to rotation, scale and shift of the features.
    """
    refuse_misfit(a, b, need=2)
    # A = R'Q' with orthonormal Q, so A'B has the singular values of the small matrix R_a R_b', and A the norm of R_a.
    first, second = (qr(_centred(rows(features)).T, mode="r")[0][: len(a)] for features in (a, b))
    overlap = svd(first @ second.T, compute_uv=False).sum()
    return distance(overlap / np.linalg.norm(first) / np.linalg.norm(second))


def mutual_knn(a: Tensor, b: Tensor, *, k: int = 10) -> Float[Tensor, ""]:
    """One minus the mean share of a sample's k nearest neighbours that both models agree on: 0 (same) to 1.

    Huh et al. ("The Platonic Representation Hypothesis", ICML 2024): neighbours by cosine, positions flattened into
    features. Blind to rotation of the features and to each sample's scale. Unrelated models reach 1 - k / (n - 1).
    """
    refuse_misfit(a, b, need=2)
    if not 1 <= k < len(a):
        raise ValueError(f"k must lie between 1 and {len(a) - 1}, one less than the samples, not {k}")
    first, second = (_neighbours(rows(features), k) for features in (a, b))
    return distance(first.multiply(second).sum() / (k * len(a)))


def _directions(a: Tensor, b: Tensor, variance: float) -> tuple[np.ndarray, np.ndarray]:
    """Both models' orthonormal principal directions (points, kept)."""
    if not 0 < variance <= 1:
        raise ValueError(f"variance must lie above 0 and at most at 1, not {variance}")
    refuse_misfit(a, b, need=2)
    if a.shape[2:] != b.shape[2:]:
        raise ValueError(f"positions are data points and must agree, not {tuple(a.shape)} and {tuple(b.shape)}")
    first, second = (_principal(_centred(_points(features)), variance) for features in (a, b))
    points, kept = len(first), (first.shape[1], second.shape[1])
    if sum(kept) >= points:
        # Of the points - 1 dimensions that centring leaves, two such subspaces share some whatever the models.
        raise ValueError(f"{kept[0]} + {kept[1]} directions need more than {points} data points; raise testbed.budget")
    return first, second


def _principal(points: np.ndarray, variance: float) -> np.ndarray:
    left, values, _ = svd(points, full_matrices=False)
    share = np.cumsum(values**2) / np.sum(values**2)
    # What is missing to all variance then is the rounding of single precision.
    return left[:, : np.searchsorted(share, min(variance, 1 - 1e-12)) + 1]


def _points(features: Tensor) -> np.ndarray:
    return varied(features.detach().cpu().double().movedim(1, -1).flatten(0, -2).numpy())


def _neighbours(matrix: np.ndarray, k: int) -> csr_matrix:
    alive = matrix.any(1)
    if not alive.all():
        raise ValueError(f"the cosine is undefined: all features of sample {alive.argmin()} are zero")
    return NearestNeighbors(n_neighbors=k, metric="cosine").fit(matrix).kneighbors_graph()


def _centred(matrix: np.ndarray) -> np.ndarray:
    return matrix - matrix.mean(0)
