"""Duality diagram similarity (Dwivedi et al., ECCV 2020): normalise features, relate samples, compare the relations.

RSA and CKA are special cases but for centring and rank; the paper's best are z-norm with cosine or Laplacian.
Positions are flattened into features. Normalisations and kernels are plain functions; YAML may name any other.
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial.distance import pdist, squareform
from sklearn.metrics.pairwise import laplacian_kernel, linear_kernel
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn import functional

from experiments.methods.features.matrices import alignment, dissimilarities, distance, refuse_misfit, rows, u_centred

Normalise = Callable[[Tensor], Tensor]
"""Features (samples, channels, *positions) -> features of as many numbers a sample."""
Kernel = Callable[[np.ndarray], np.ndarray]
"""Features (samples, dims) -> a symmetric matrix (samples, samples) of similarities or of distances."""
EPSILON = 1e-9  # under the variance, as in the published code


def dds(a: Tensor, b: Tensor, *, normalise: Normalise, kernel: Kernel) -> Float[Tensor, ""]:
    """One minus the cosine of the two models' unbiasedly centred n x n matrices: 0 (same) to 2, 1 if unrelated.

    What it is blind to depends on both settings; with `z_norm`, to scale and shift of each feature.

    Args:
        a: the first model's features.
        b: the second model's, of as many samples.
        normalise: `no_norm`, `centring`, `z_norm`, `group_norm`, `instance_norm`, `layer_norm` or `batch_norm`.
        kernel: `linear`, `rbf`, `laplacian`, or one of the distances `pearson`, `euclidean` and `cosine`.

    Raises:
        ValueError: if there are fewer than four samples, or a matrix is undefined or the same for all samples.
    """
    refuse_misfit(a, b, need=4)
    first, second = (u_centred(_relations(features, normalise, kernel)) for features in (a, b))
    return distance(alignment(first, second))


def no_norm(features: Tensor) -> Tensor:
    """The features as they are."""
    return features


def centring(features: Tensor) -> Tensor:
    """Each feature minus its mean over samples."""
    return features - features.mean(0)


def z_norm(features: Tensor) -> Tensor:
    """Each feature with mean 0 and variance 1 over samples; one that is constant becomes zero."""
    return torch.from_numpy(StandardScaler().fit_transform(features.flatten(1).numpy()))


def group_norm(features: Tensor, *, groups: int = 2) -> Tensor:
    """Each sample's channels standardised in groups of neighbours; two groups in the published code."""
    if groups < 1 or features.shape[1] % groups:
        raise ValueError(f"groups must divide the {features.shape[1]} channels, not be {groups}")
    return functional.group_norm(features, groups, eps=EPSILON)


def instance_norm(features: Tensor) -> Tensor:
    """Each channel of each sample standardised over its positions."""
    if features[0, 0].numel() < 2:
        raise ValueError("instance_norm needs channels of several positions; take layer_norm or z_norm for the others")
    return functional.instance_norm(features, eps=EPSILON)


def layer_norm(features: Tensor) -> Tensor:
    """Each sample standardised over all its features."""
    return functional.layer_norm(features, features.shape[1:], eps=EPSILON)


def batch_norm(features: Tensor) -> Tensor:
    """Each channel standardised over samples and positions."""
    return functional.batch_norm(features, None, None, training=True, eps=EPSILON)


def linear(features: np.ndarray) -> np.ndarray:
    """Inner products; without normalisation DDS is then debiased CKA."""
    return linear_kernel(features)


def rbf(features: np.ndarray, *, bandwidth: float = 0.5) -> np.ndarray:
    """Gaussian kernel whose standard deviation is this share of the median distance between samples."""
    distances = pdist(features)
    deviation = bandwidth * np.median(distances)
    if deviation <= 0:
        raise ValueError(f"the RBF kernel needs samples that differ and a bandwidth above 0, not {bandwidth}")
    return squareform(np.exp(-((distances / deviation) ** 2) / 2)) + np.eye(len(features))


def laplacian(features: np.ndarray) -> np.ndarray:
    """Laplacian kernel exp(-|x - y|_1 / dims)."""
    return laplacian_kernel(features)


def pearson(features: np.ndarray) -> np.ndarray:
    """One minus the correlation of two samples' features."""
    return squareform(dissimilarities(features))


def euclidean(features: np.ndarray) -> np.ndarray:
    """Euclidean distances."""
    return squareform(pdist(features))


def cosine(features: np.ndarray) -> np.ndarray:
    """One minus the cosine of two samples' features."""
    return squareform(pdist(features, "cosine"))


def _relations(features: Tensor, normalise: Normalise, kernel: Kernel) -> np.ndarray:
    rows(features)  # refuses features that say nothing, before a normalisation makes rounding errors of them
    matrix = kernel(normalise(features.detach().cpu().double()).flatten(1).numpy())
    if not np.isfinite(matrix).all():
        raise ValueError("the kernel is undefined: some sample's normalised features are all zero")
    return matrix
