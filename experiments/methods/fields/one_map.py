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
            trained networks share coarse structure; 0 leaves them as they are, and less than a third of a pixel would,
            too. None takes no slopes.
        seed: draws the directions, the same for all models.
        batch_size: samples at a time.

    Raises:
        ValueError: if blur is below 0, too small to change anything, or too large for the samples.
    """
    reach, most = int(3 * (blur or 0)), min(samples.inputs.shape[2:], default=1) - 1
    if blur is not None and (blur < 0 or bool(blur) != bool(reach) or reach > most):
        raise ValueError(
            f"blur must be 0, or from 1/3 to less than {(most + 1) / 3:.1f} pixels on these samples, or null for no "
            f"slopes, not {blur}"
        )
    values = logits(model, samples.inputs).cpu()
    if blur is None:
        return Function(values, None)
    directions = torch.randn(samples.inputs.shape, generator=torch.Generator().manual_seed(seed))
    if blur:
        directions = gaussian_blur(directions, 2 * reach + 1, blur)
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

    Theil's adjusted share of unexplained variance: what the best map leaves over, times rows / (rows - what the map is
    told), so that many channels explain nothing by their number. With slopes the squares of both are summed, each in
    units of b's own.

    Args:
        a: the source.
        b: the target, at the same samples.
        reach: how many positions away a map of feature maps may look: 0 at its own alone, 1 at 3 x 3.
        slopes: weight of the slopes beside the values', 0 to 1.

    Raises:
        ValueError: if the two were not shown the same, the weight is not a share or has no slopes to weigh, reach is
            below 0, or samples are fewer than what a map is told.

    >>> one = Function(torch.randn(40, 3), None)
    >>> other = Function(one.values @ torch.randn(3, 2) + 1, None)
    >>> bool(left_over(one, other, reach=0) < 1e-9), bool(left_over(other, one, reach=0) > 0.1)
    (True, True)
    """
    if not 0 <= slopes <= 1 or (slopes and (a.slopes is None or b.slopes is None)):
        raise ValueError(f"slopes must weigh between 0 and 1, and be taken (blur) if above 0, not {slopes}")
    if reach < 0:
        raise ValueError(f"reach must be 0 or more positions, not {reach}")
    if a.values.shape[2:] != b.values.shape[2:] or len(a.values) != len(b.values):
        raise ValueError(f"a map leads between maps of one size, not {tuple(a.values.shape)}, {tuple(b.values.shape)}")
    parts = [(_centred(_rows(a.values, reach)), _centred(_rows(b.values, 0)), 1 - slopes)]
    if slopes and a.slopes is not None and b.slopes is not None:
        parts.append((_rows(a.slopes, reach), _rows(b.slopes, 0), slopes))
    (rows, told), squares = parts[0][0].shape, [y.square().sum() for _, y, _ in parts]
    if rows <= told + 1:
        raise ValueError(
            f"a map that is told {told} numbers needs more than {told + 1} rows, not {rows}; raise the budget"
        )
    if not all(squares):
        return torch.tensor(float("nan"))
    # Roots of the weights, so that one least-squares problem has the values' rows and the slopes'.
    roots = [(weight / total).sqrt() for (_, _, weight), total in zip(parts, squares, strict=True)]
    known = torch.cat([root * x for root, (x, _, _) in zip(roots, parts, strict=True)])
    wanted = torch.cat([root * y for root, (_, y, _) in zip(roots, parts, strict=True)])
    missed = wanted - known @ torch.linalg.lstsq(known, wanted, driver="gelsd").solution
    return missed.square().sum() * (rows - 1) / (rows - 1 - told)


def _rows(maps: Tensor, reach: int) -> Float[Tensor, "rows told"]:
    """What a map is told at each position of each sample: its channels and those of neighbours, zero outside."""
    if maps.ndim == 2:
        return maps.double()
    if maps.ndim != 4:
        raise ValueError(f"a map reads outputs (n, channels) or (n, channels, height, width), not {tuple(maps.shape)}")
    return unfold(maps, 2 * reach + 1, padding=reach).transpose(1, 2).flatten(0, 1).double()


def _centred(rows: Tensor) -> Tensor:
    return rows - rows.mean(0)
