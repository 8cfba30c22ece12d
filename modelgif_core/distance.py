"""Distances between the fields of two models on the same paths: one number a path, small = related.

NaN marks a path that says nothing because one of the fields vanishes on it (a dead reference). `Tensor.nanmean`
turns a result into the functional distance of Song et al. (2023, section 3); the number of NaN belongs beside it.
"""

from collections.abc import Callable, Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from modelgif_core.field import Field, dead_paths
from modelgif_core.paths import widest

PerPath = Float[Tensor, " paths"]
Distance = Callable[[Field, Field], PerPath]
Ground = Callable[[Field, Field], Float[Tensor, "paths steps steps"]]


def cosine(a: Field, b: Field) -> PerPath:
    """One minus the cosine, averaged over steps: 0 (same direction) to 2 (opposite); the paper's distance.

    Steps at which either field is zero are left out; a path without any other step is NaN.

    >>> field = torch.randn(2, 5, 8)
    >>> cosine(field, field).tolist()
    [0.0, 0.0]
    """
    _same_shape(a, b)
    # Half the squared distance of unit vectors equals 1 - cosine, but is exactly 0 on itself and never negative.
    distances = (unit(a) - unit(b)).square().sum(2) / 2
    distances[_zero(a) | _zero(b)] = torch.nan
    return distances.nanmean(1)


def pairwise_cosine(fields: Iterable[Field], models: int) -> Float[Tensor, "models models paths"]:
    """`cosine` between all models, by one matrix product a path: symmetric, equal to it up to rounding.

    One minus a mean of cosines is one minus the inner product of two vectors: all curve points of a path, each scaled
    to length 1. Fields are taken one at a time and held as such vectors, so that only one tensor is held.

    Raises:
        ValueError: if the fields are not as many as `models`, or not of one shape.

    >>> one, other = torch.randn(2, 3, 5, 8)
    >>> found = pairwise_cosine([one, other], 2)
    >>> bool(torch.allclose(found[0, 1], cosine(one, other), atol=1e-6)), found[0, 0].tolist()
    (True, [0.0, 0.0, 0.0])
    """
    shape, count = None, 0
    held = alive = torch.empty(0)
    for count, field in enumerate(fields, start=1):
        if count == 1:
            shape = field.shape
            held = field.new_empty(len(field), models, field[0].numel())
            alive = field.new_empty(len(field), models, field.shape[1])
        if count > models or field.shape != shape:
            raise ValueError(f"field {count} of {models} is {tuple(field.shape)}; all must share one shape")
        held[:, count - 1], alive[:, count - 1] = unit(field).flatten(1), (~_zero(field)).to(field.dtype)
    if count < models:
        raise ValueError(f"{count} fields are fewer than {models}")
    products, both = held @ held.mT, alive @ alive.mT
    squares, steps = products.diagonal(dim1=1, dim2=2), alive.sum(2)
    # Half the squared distance, as in `cosine`; a step at which one of two fields vanishes adds 1/2 that means nothing.
    half = (squares[:, :, None] + squares[:, None]) / 2 - products
    lonely = (steps[:, :, None] + steps[:, None]) / 2 - both  # their number, halved
    found = ((half - lonely).clamp(min=0) / both).masked_fill(both == 0, torch.nan)
    own = found.diagonal(dim1=1, dim2=2)
    own[~own.isnan()] = 0
    return found.permute(1, 2, 0)


def absolute_cosine(a: Field, b: Field) -> PerPath:
    """Cosine distance of the fields' absolute values, averaged over steps: 0 (same magnitudes) to 1 (nowhere both)."""
    return cosine(a.abs(), b.abs())


def standardised_cosine(a: Field, b: Field) -> PerPath:
    """Cosine distance after each curve point is standardised over its dimensions: 1 - Pearson correlation, 0 to 2.

    A curve point that is constant over its dimensions has no direction left and counts as zero.
    """
    _same_shape(a, b)
    return cosine(_centred(a), _centred(b))


def euclidean(a: Field, b: Field) -> PerPath:
    """Length of the difference, averaged over steps: 0 (same) upwards, in the units of the readout; dead paths NaN."""
    _same_shape(a, b)
    return _without_dead((a - b).to(widest(a.device)).norm(dim=2).mean(1).to(a.dtype), a, b)


def cosine_matrix(a: Field, b: Field) -> Float[Tensor, "paths steps steps"]:
    """One minus the cosine between every step of `a` and every step of `b`: 0 to 2; 1 if one of the two vanishes."""
    squared = torch.cdist(unit(a), unit(b), compute_mode="donot_use_mm_for_euclid_dist").square()
    return (squared / 2).masked_fill(_zero(a)[:, :, None] ^ _zero(b)[:, None], 1)


def euclidean_matrix(a: Field, b: Field) -> Float[Tensor, "paths steps steps"]:
    """Euclidean distance between every step of `a` and every step of `b`."""
    one, other = a.to(widest(a.device)), b.to(widest(b.device))
    return torch.cdist(one, other, compute_mode="donot_use_mm_for_euclid_dist").to(a.dtype)


def frechet(a: Field, b: Field, *, ground: Ground = cosine_matrix) -> PerPath:
    """Discrete Fréchet distance between the curves (Eiter and Mannila, 1994): the least longest leash; 0 upwards.

    Args:
        a: the first field.
        b: the second field.
        ground: distance between single points of the curves, `cosine_matrix` or `euclidean_matrix`.
    """
    _same_shape(a, b)
    leash = ground(a, b)
    steps = leash.shape[1]
    reach = leash.clone()
    reach[:, 0] = leash[:, 0].cummax(1).values
    reach[:, :, 0] = leash[:, :, 0].cummax(1).values
    for i in range(1, steps):
        for j in range(1, steps):
            before = torch.minimum(torch.minimum(reach[:, i - 1, j], reach[:, i, j - 1]), reach[:, i - 1, j - 1])
            reach[:, i, j] = torch.maximum(leash[:, i, j], before)
    return _without_dead(reach[:, -1, -1], a, b)


def _centred(field: Field) -> Field:
    centred = field - field.mean(2, keepdim=True)
    rounding = 8 * torch.finfo(field.dtype).eps * field.abs().amax(2, keepdim=True)
    return centred.where(centred.abs().amax(2, keepdim=True) > rounding, 0)


def unit(field: Field) -> Field:
    """The field with every curve point scaled to length 1; where it vanishes it stays zero."""
    # Dividing by the largest entry first keeps tiny gradients from underflowing when squared.
    scaled = field / field.abs().amax(2, keepdim=True).clamp_min(torch.finfo(field.dtype).tiny)
    return scaled / scaled.norm(dim=2, keepdim=True).clamp_min(torch.finfo(field.dtype).tiny)


def _zero(field: Field) -> Tensor:
    return ~field.any(2)


def _without_dead(distances: PerPath, a: Field, b: Field) -> PerPath:
    return distances.masked_fill(dead_paths(a) | dead_paths(b), torch.nan)


def _same_shape(a: Field, b: Field) -> None:
    if a.shape != b.shape or a.ndim != 3:
        raise ValueError(
            f"fields must share one shape (paths, steps, dims), not {tuple(a.shape)} and {tuple(b.shape)}; "
            "extract both along the same paths"
        )
