"""Features as matrices: what similarities of features share, and what makes them undefined."""

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial.distance import pdist
from torch import Tensor


def refuse_misfit(a: Tensor, b: Tensor, *, need: int) -> None:
    """Refuse features of different or too few samples."""
    if a.ndim < 2 or b.ndim < 2 or len(a) != len(b):
        shapes = f"{tuple(a.shape)} and {tuple(b.shape)}"
        raise ValueError(f"features (samples, channels, *positions) of the same samples are compared, not {shapes}")
    if len(a) < need:
        raise ValueError(f"this similarity needs at least {need} samples, not {len(a)}; raise testbed.budget")


def rows(features: Tensor) -> np.ndarray:
    """Features as a double-precision matrix (samples, channels x positions); refuses those equal for all samples."""
    return varied(features.detach().cpu().double().flatten(1).numpy())


def varied(matrix: np.ndarray) -> np.ndarray:
    """The matrix (n, p), unless all its rows are equal."""
    if not _varies(matrix, 0).any():
        raise ValueError(f"the similarity is undefined: none of {matrix.shape[1]} features differs between samples")
    return matrix


def dissimilarities(matrix: np.ndarray) -> np.ndarray:
    """One minus the Pearson correlation of every two rows of a matrix (n, p): n (n - 1) / 2 numbers from 0 to 2."""
    varies = _varies(matrix, 1)
    if not varies.all():
        raise ValueError(f"the correlation is undefined: all features of sample {varies.argmin()} are equal")
    return pdist(matrix, "correlation").round(12)  # ties that are exact but for rounding count as ties


def u_centred(matrix: np.ndarray) -> np.ndarray:
    """A symmetric matrix (n, n) whose off-diagonal rows and columns sum to zero, the diagonal zero.

    Székely and Rizzo (2014): inner products of such matrices are unbiased HSIC, times n (n - 3).
    """
    matrix = matrix - np.diag(np.diag(matrix))
    count, sums = len(matrix), matrix.sum(0)
    centred = matrix - (sums[:, None] + sums) / (count - 2) + sums.sum() / ((count - 1) * (count - 2))
    np.fill_diagonal(centred, 0)
    return centred * (np.abs(centred) > 1e-12 * np.abs(matrix).max())  # what is left is not rounding


def alignment(first: np.ndarray, second: np.ndarray) -> float:
    """Cosine of two matrices, -1 to 1; NaN if one is zero."""
    length = np.linalg.norm(first) * np.linalg.norm(second)
    return float(np.vdot(first, second) / length) if length else np.nan


def distance(similarity: float) -> Float[Tensor, ""]:
    """One minus the similarity; refuses one that is undefined."""
    if not np.isfinite(similarity):
        raise ValueError("the similarity is undefined: to one of the models all samples are equally similar")
    return torch.tensor(max(0, 1 - similarity), dtype=torch.float64)  # rounding must not leave the range


def _varies(matrix: np.ndarray, axis: int) -> np.ndarray:
    return np.ptp(matrix, axis) > 8 * np.finfo(np.float32).eps * np.abs(matrix).max(axis)
