"""Fields of all output channels at once, compared by what they span: a variation of ModelGiF for encoders.

ModelGiF follows one scalar, a sum over channels, and so depends on the sign, scale and order that training happened
to give them. Here every channel has a field of its own, and two models are compared by their normalised
Hilbert-Schmidt inner product, as linear CKA compares features: any rotation of a model's channels leaves it alone.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from experiments.networks.forward import predictions
from modelgif_core import Paths, extract_field
from modelgif_core.paths import widest
from modelgif_core.quadrature import Rule
from modelgif_core.view import View

RANK_TOLERANCE = 1e-6
"""Of the largest eigenvalue of the channels' Gram matrix; below it a direction is rounding."""
Spans = Float[Tensor, "paths steps channels dims"]


def channel_fields(
    model: nn.Module,
    paths: Paths,
    *,
    steps: int,
    rule: Rule,
    view: View,
    cumulative: bool,
    times_direction: bool,
    seed: int,
) -> Spans:
    """One field for every channel of the output, each following the same random signs over positions.

    Args:
        model: maps inputs to (n, channels, *positions); outputs (n, classes) have one position.
        paths: where to follow it.
        steps: quadrature nodes on each path.
        rule: quadrature rule.
        view: which input dimensions to keep.
        cumulative: sum the weighted gradients up to each step.
        times_direction: multiply by `end - start`.
        seed: draws the signs, the same for every model with as many positions.
    """

    def follow(channel: int) -> Callable[[Tensor, Tensor | None], Tensor]:
        def signs(output: Tensor, labels: Tensor | None = None) -> Tensor:
            generator = torch.Generator().manual_seed(seed)
            drawn = torch.randint(2, output.shape[2:], generator=generator) * 2 - 1
            weights = torch.zeros_like(output)
            weights[:, channel] = drawn.to(output)
            return weights

        return signs

    channels = predictions(model, paths.ends[:1]).shape[1]
    settings = {"steps": steps, "rule": rule, "view": view, "cumulative": cumulative}
    fields = [
        extract_field(model, paths, readout=follow(c), times_direction=times_direction, **settings)
        for c in range(channels)
    ]
    return torch.stack(fields, dim=2)


def span_distance(a: Spans, b: Spans) -> Float[Tensor, " paths"]:
    """One minus the normalised Hilbert-Schmidt inner product of the two spans, averaged over steps: 0 to 1.

    The inner product is |A B'|^2 / (|A A'| |B B'|) in Frobenius norms, A and B the channels' fields as rows. Steps at
    which all channels of either model vanish are left out; a path without any other step is NaN.

    >>> fields = torch.randn(2, 3, 4, 10)
    >>> rotated = torch.linalg.qr(torch.randn(4, 4)).Q @ fields
    >>> bool(span_distance(fields, rotated).abs().max() < 1e-6)
    True
    """
    _same_paths(a, b)
    a, b = (x.to(widest(x.device)) for x in (a, b))
    sizes = [(x @ x.mT).flatten(2).norm(dim=2) for x in (a, b)]
    overlap = (a @ b.mT).flatten(2).square().sum(2) / (sizes[0] * sizes[1])  # 0 / 0 where a model is dead: NaN
    return (1 - overlap).clamp_min(0).nanmean(1)


def subspace_distance(a: Spans, b: Spans) -> Float[Tensor, " paths"]:
    """One minus the overlap of the two spans as subspaces, averaged over steps: 0 (the same) to 1 (orthogonal).

    The overlap is the mean squared cosine of the principal angles, as CCA takes it: any invertible map of a model's
    channels leaves it alone. Channels without a gradient do not count; a path on which a model has none is NaN.

    >>> fields = torch.randn(2, 3, 4, 10)
    >>> mixed = torch.randn(4, 4) @ fields
    >>> bool(subspace_distance(fields, mixed).abs().max() < 1e-5)
    True
    """
    _same_paths(a, b)
    a, b = _rows(a), _rows(b)
    within = [x @ x.mT for x in (a, b)]
    first, second = (torch.linalg.pinv(x, hermitian=True, rtol=RANK_TOLERANCE) for x in within)
    ranks = [torch.linalg.matrix_rank(x, hermitian=True, rtol=RANK_TOLERANCE) for x in within]
    across = a @ b.mT
    shared = (first @ across @ second @ across.mT).diagonal(dim1=2, dim2=3).sum(2)
    return (1 - shared / (ranks[0] * ranks[1]).sqrt()).clamp_min(0).nanmean(1)


def _rows(fields: Spans) -> Spans:
    """Fields of length one each, in the widest precision; zero where a channel has no gradient."""
    return torch.nn.functional.normalize(fields.to(widest(fields.device)), dim=3, eps=1e-30)


def _same_paths(a: Spans, b: Spans) -> None:
    if a.ndim != 4 or a[:, :, 0].shape != b[:, :, 0].shape:
        raise ValueError(f"spans on the same paths are compared, not {tuple(a.shape)} with {tuple(b.shape)}")
