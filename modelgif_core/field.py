"""Gradient fields: a model's gradients along straight paths through its input space (Song et al., 2023, section 3)."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from modelgif_core.fold import folded
from modelgif_core.quadrature import Rule, gauss_legendre
from modelgif_core.readout import Readout, predicted_class
from modelgif_core.view import View, flat

Field = Float[Tensor, "paths steps dims"]
"""An alias, not a class: every torch operation keeps working."""

WORTH_FOLDING = 512
"""From how many gradients on a copy of the model with folded BatchNorm is made."""


@dataclass(frozen=True)
class Paths:
    """Straight lines through input space, each from a start to an end (the reference point).

    `starts` may be any tensor that broadcasts to `ends`: one value, one image for all, or an image for each.

    >>> paths = Paths(starts=torch.zeros(()), ends=torch.rand(4, 3, 8, 8))
    >>> len(paths), paths.starts.shape
    (4, torch.Size([4, 3, 8, 8]))
    """

    starts: Float[Tensor, "..."]
    """Where the paths begin: zeros, a mean image, other samples."""
    ends: Float[Tensor, "paths ..."]
    """Where the paths end: the reference points, in the models' input space."""
    labels: Int[Tensor, " paths"] | None = None
    """The class of each reference point, for readouts that follow it."""

    def __post_init__(self) -> None:
        if self.ends.ndim < 2 or len(self.ends) == 0:
            raise ValueError(f"ends must be (paths, ...) with at least one path, not {tuple(self.ends.shape)}")
        try:
            object.__setattr__(self, "starts", self.starts.expand_as(self.ends))
        except RuntimeError:
            raise ValueError(
                f"starts {tuple(self.starts.shape)} do not broadcast to ends {tuple(self.ends.shape)}"
            ) from None
        if self.labels is not None and self.labels.shape != self.ends.shape[:1]:
            raise ValueError(f"{len(self.ends)} paths need as many labels, not {tuple(self.labels.shape)}")
        for name, points in [("starts", self.starts), ("ends", self.ends)]:
            if not torch.isfinite(points).all():
                raise ValueError(f"{name} hold values that are not finite")

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index: slice | Tensor) -> "Paths":
        return Paths(self.starts[index], self.ends[index], None if self.labels is None else self.labels[index])

    def split(self, size: int) -> Iterator["Paths"]:
        """The same paths in consecutive chunks of at most `size`."""
        for first in range(0, len(self), size):
            yield self[first : first + size]


def extract_field(
    model: nn.Module,
    paths: Paths,
    *,
    steps: int = 50,
    rule: Rule = gauss_legendre,
    readout: Readout = predicted_class,
    cumulative: bool = True,
    times_direction: bool = True,
    view: View = flat,
    batch_size: int | None = None,
) -> Field:
    """The model's gradient field (paths, steps, dims), on the CPU, in float32 (float64 for a double-precision model).

    Step k of a path holds `(end - start) * sum over j <= k of weight_j * gradient(node_j)`, in the input dimensions
    that the view keeps. The last step is the integrated gradient: it sums to s(end) - s(start) up to quadrature error,
    where s is the readout's scalar (completeness). The model runs in eval mode and is left as it was
    found; many gradients are taken on a copy with folded BatchNorm, whose outputs are equal to rounding.

    Args:
        model: any differentiable module that maps a batch of inputs to one tensor.
        paths: where to follow it; they travel to the model's device and precision in batches.
        steps: number of quadrature nodes on each path.
        rule: the quadrature rule.
        readout: which outputs to follow, decided once at each path's end.
        cumulative: sum the weighted gradients up to each step; otherwise each step stands alone.
        times_direction: multiply by `end - start`; otherwise plain (weighted) gradients.
        view: which input dimensions to keep, all by default.
        batch_size: points (path x step) per forward pass; the default holds about two million input values.

    Raises:
        TypeError: if the model returns something else than a tensor.
        ValueError: if a gradient is not finite, or an option is out of range.

    >>> linear = torch.nn.Linear(3, 1, bias=False)
    >>> field = extract_field(linear, Paths(torch.zeros(()), torch.ones(1, 3)), steps=4)
    >>> bool(torch.allclose(field[0, -1], linear.weight[0]))
    True
    """
    if batch_size is None:
        batch_size = max(1, min(256, 2**21 // paths.ends[0].numel()))
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}")
    nodes, weights = rule(steps)
    like = _parameter(model, paths.ends)
    exact = torch.float64 if like.dtype == torch.float64 else torch.float32
    starts, ends = (points.detach().to("cpu", exact) for points in (paths.starts, paths.ends))
    directions = ends - starts

    with _frozen(model), torch.inference_mode(False), torch.enable_grad():
        field = torch.empty(len(paths) * steps, view(directions[:1]).shape[1], dtype=exact)
        follow = _output_weights(model, paths, readout, batch_size, like)
        # Copying a model takes as long as a few batches.
        fast = folded(model, ends[:1].to(like, copy=True)) if len(field) >= WORTH_FOLDING else model
        for index in torch.arange(len(field)).split(batch_size):
            path, step = index // steps, index % steps
            shape = (-1, *[1] * (paths.ends.ndim - 1))
            points = starts[path] + nodes[step].to(exact).view(shape) * directions[path]
            gradient = _gradient(fast, points.to(like.device), follow[path.to(like.device)], like.dtype)
            value = gradient.cpu() * weights[step].to(exact).view(shape)
            field[index] = view(value * directions[path] if times_direction else value)

    field = field.view(len(paths), steps, -1)
    if cumulative:
        torch.cumsum(field, 1, out=field)
    broken = (~torch.isfinite(field).flatten(1).all(1)).nonzero()[:, 0]
    if len(broken):
        raise ValueError(f"gradients are not finite on path {broken[0]} ({len(broken)} of {len(paths)} paths)")
    return field


def dead_paths(field: Field) -> Bool[Tensor, " paths"]:
    """True for each path along which the field vanishes everywhere: it says nothing about the model there."""
    return ~field.flatten(1).any(1)


def _gradient(model: nn.Module, points: Tensor, follow: Tensor, dtype: torch.dtype) -> Tensor:
    points.requires_grad_()
    # The copy lets a model's first layer work in place, which a leaf would refuse.
    output = _output(model, points.to(dtype, copy=True))
    if not output.requires_grad:
        return torch.zeros_like(points)
    (gradient,) = torch.autograd.grad((output * follow).sum(), points, allow_unused=True)
    return torch.zeros_like(points) if gradient is None else gradient


def _output_weights(model: nn.Module, paths: Paths, readout: Readout, batch_size: int, like: Tensor) -> Tensor:
    chunks = []
    with torch.no_grad():
        for part in paths.split(batch_size):
            output = _output(model, part.ends.to(like, copy=True))
            labels = None if part.labels is None else part.labels.to(like.device)
            chunks.append(readout(output, labels))
    return torch.cat(chunks)


def _output(model: nn.Module, inputs: Tensor) -> Tensor:
    output = model(inputs)
    if not isinstance(output, Tensor):
        raise TypeError(f"the model must return a tensor, not {type(output).__name__}: wrap it to pick one")
    return output


def _parameter(model: nn.Module, default: Tensor) -> Tensor:
    """A tensor on the device and in the precision that the model computes in."""
    tensors = (t for group in (model.parameters(), model.buffers()) for t in group if t.is_floating_point())
    return next(tensors, default)


@contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
    """Eval mode and no parameter gradients inside; modes and flags as they were outside."""
    modes = [(module, module.training) for module in model.modules()]
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        model.eval()
        for parameter, _ in flags:
            parameter.requires_grad_(False)
        yield
    finally:
        for module, training in modes:
            module.training = training
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
