"""How much of one function is left over when a linear map of another is taken away: ModelGiF+ where outputs differ.

Encoders of two tasks, or classifiers of different classes, have no output that stands for the same; but one may be a
linear map of the other. If it is, then it is so everywhere, and its slopes are the same map of the other's slopes: so
one map is fitted to all samples at once, to values and, if asked, to slopes. Between feature maps it is a convolution,
as encoders are: the same at every position, with a view of its neighbours.

What is left over has a direction: a rich function holds a simple one and not the other way round, as a source serves a
target (Taskonomy's affinities are not symmetric either). Exploratory: no paper proposes it. docs/findings/stronger.md
says what it is worth, and what slopes add.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.functional import unfold
from torchvision.transforms.functional import gaussian_blur

from experiments.interfaces import Samples
from experiments.networks.forward import device_of, logits

SMALLEST = 1e-9
"""Of the largest eigenvalue of the source's Gram matrix; below it a direction is rounding."""


class Function(NamedTuple):
    """One model at the samples."""

    values: Float[Tensor, "samples channels *positions"]
    """Its outputs."""
    slopes: Float[Tensor, "samples channels *positions"] | None
    """Their derivatives along one direction in input space for each sample."""


def see(model: nn.Module, samples: Samples, *, blur: float | None, seed: int, batch_size: int = 64) -> Function:
    """Outputs and, along random directions, how they change.

    Args:
        model: maps inputs to (n, channels, *positions).
        samples: the images, or inputs of other shapes.
        blur: pixels (a standard deviation) over which the random directions, images of noise, are smoothed, because
            trained networks share coarse structure; 0 leaves them as they are. None takes no slopes.
        seed: draws the directions, the same for all models.
        batch_size: samples at a time.
    """
    values = logits(model, samples.inputs).cpu()
    if blur is None:
        return Function(values, None)
    directions = torch.randn(samples.inputs.shape, generator=torch.Generator().manual_seed(seed))
    if blur:
        directions = gaussian_blur(directions, 2 * int(3 * blur) + 1, blur)
    parts = zip(samples.inputs.split(batch_size), directions.split(batch_size), strict=True)
    return Function(values, torch.cat([_derivative(model, inputs, along).cpu() for inputs, along in parts]))


def _derivative(model: nn.Module, inputs: Tensor, along: Tensor) -> Tensor:
    """Of all outputs at once, by one pass in forward mode."""
    device = device_of(model, inputs)
    with torch.no_grad(), forward_ad.dual_level():
        outputs = model(forward_ad.make_dual(inputs.to(device, copy=True), along.to(device)))
        found = forward_ad.unpack_dual(outputs).tangent
        return torch.zeros_like(outputs) if found is None else found.clone()


def left_over(a: Function, b: Function, *, reach: int, slopes: float = 0) -> Float[Tensor, ""]:
    """Share of b that no linear map of a explains: 0 (b is one) to about 1 (nothing); NaN if b does not vary at all.

    The map is fitted on every other sample and judged on those between, and the other way round, so that many channels
    explain nothing by their number: a map that misleads leaves more than there was, above 1. With slopes the squared
    errors of both are summed, each in units of b's own.

    Args:
        a: the source.
        b: the target, at the same samples.
        reach: how many positions away a map of feature maps may look: 0 at its own alone, 1 at 3 x 3.
        slopes: weight of the slopes beside the values', 0 to 1.

    Raises:
        ValueError: if the two were not shown the same, the weight is not a share or has no slopes to weigh, or half of
            the samples are fewer than what a map has to be told.

    >>> one = Function(torch.randn(40, 3), None)
    >>> other = Function(one.values @ torch.randn(3, 2) + 1, None)
    >>> bool(left_over(one, other, reach=0) < 1e-9), bool(left_over(other, one, reach=0) > 0.1)
    (True, True)
    """
    if not 0 <= slopes <= 1 or (slopes and (a.slopes is None or b.slopes is None)):
        raise ValueError(f"slopes must weigh between 0 and 1, and be taken (blur) if above 0, not {slopes}")
    if a.values.shape[2:] != b.values.shape[2:] or len(a.values) != len(b.values):
        raise ValueError(f"a map leads between maps of one size, not {tuple(a.values.shape)}, {tuple(b.values.shape)}")
    parts = [(_centred(_rows(a.values, reach)), _centred(_rows(b.values, 0)), 1 - slopes)]
    if slopes and a.slopes is not None and b.slopes is not None:
        parts.append((_rows(a.slopes, reach), _rows(b.slopes, 0), slopes))
    if not all(target.any() for _, target, _ in parts):
        return torch.tensor(float("nan"))
    halves = [_grams([(x[half::2], y[half::2], w / y.square().sum()) for x, y, w in parts]) for half in (0, 1)]
    return sum((_missed(*pair) for pair in (halves, halves[::-1])), torch.zeros(())).clamp_min(0)


class _Grams(NamedTuple):
    """Inner products over half of the samples."""

    within: Float[Tensor, "source source"]
    across: Float[Tensor, "source target"]
    total: Float[Tensor, ""]
    """Of the target with itself, summed over its channels."""


def _grams(parts: list[tuple[Tensor, Tensor, Tensor]]) -> _Grams:
    """Sources and targets (samples, positions, channels) with their weights."""
    flat = [(x.flatten(0, 1), y.flatten(0, 1), weight) for x, y, weight in parts]
    rows, told = flat[0][0].shape
    if rows < told:
        raise ValueError(
            f"a map of {told} numbers needs as many rows in half of the samples, not {rows}; raise the budget"
        )
    within = sum(weight * x.T @ x for x, _, weight in flat)
    across = sum(weight * x.T @ y for x, y, weight in flat)
    return _Grams(within, across, sum(weight * y.square().sum() for _, y, weight in flat))  # pyright: ignore


def _missed(fitted: _Grams, judged: _Grams) -> Tensor:
    """What the map that fits the one half best leaves over of the other."""
    linear = torch.linalg.pinv(fitted.within, hermitian=True, rtol=SMALLEST) @ fitted.across
    return judged.total - 2 * (linear * judged.across).sum() + (linear * (judged.within @ linear)).sum()


def _rows(maps: Tensor, reach: int) -> Float[Tensor, "samples positions channels"]:
    """What a map is told at each position: its channels and those of neighbours, zero beyond the border."""
    if maps.ndim == 2:
        return maps[:, None].double()
    if maps.ndim != 4:
        raise ValueError(f"a map reads outputs (n, channels) or (n, channels, height, width), not {tuple(maps.shape)}")
    return unfold(maps, 2 * reach + 1, padding=reach).transpose(1, 2).double()


def _centred(rows: Tensor) -> Tensor:
    return rows - rows.mean((0, 1))
