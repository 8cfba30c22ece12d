"""Gradient fields: a model's gradients along straight paths through its input space (Song et al., 2023, section 3)."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from modelgif_core.fast import Fast
from modelgif_core.fold import folded
from modelgif_core.paths import Paths
from modelgif_core.quadrature import Rule, gauss_legendre
from modelgif_core.readout import Readout, predicted_class
from modelgif_core.view import View, flat

Field = Float[Tensor, "paths steps dims"]
"""An alias, not a class: every torch operation keeps working."""

WORTH_FOLDING = 100
"""From how many gradients on a copy of the model with folded BatchNorm is made."""


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
    fast: Fast | None = None,
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
        batch_size: points (path x step) per forward pass; the default is 100, or what holds 2.5 million input values.
            It is fixed, not tuned, so that the same machine gives the same bits.
        fast: faster arithmetic than the model's own, held to the plain field on the first path.

    Raises:
        TypeError: if the model returns something else than a tensor.
        ValueError: if a gradient is not finite, an option is out of range, or faster arithmetic changes the field.

    >>> linear = torch.nn.Linear(3, 1, bias=False)
    >>> field = extract_field(linear, Paths(torch.zeros(()), torch.ones(1, 3)), steps=4)
    >>> bool(torch.allclose(field[0, -1], linear.weight[0]))
    True
    """
    if batch_size is None:
        batch_size = max(1, min(100, 2_500_000 // paths.ends[0].numel()))
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}")
    like = _parameter(model, paths.ends)

    with _frozen(model), torch.inference_mode(False), torch.enable_grad():
        follow = _output_weights(model, paths, readout, batch_size, like)
        # Copying a model takes as long as a few batches.
        worth = len(paths) * steps >= WORTH_FOLDING
        ready = folded(model, paths.ends[:1].detach().to(like, copy=True)) if worth else model
        take = partial(_weighted_gradients, rule=rule(steps), like=like, times_direction=times_direction, view=view)
        if fast is None:
            field = take(ready, paths, follow, batch_size=batch_size)
        else:
            quick = fast.compiled(ready)
            with fast.arithmetic(like.device):
                field = take(quick, paths, follow, batch_size=batch_size)
            _refuse_change(field[:1], take(ready, paths[:1], follow[:1], batch_size=batch_size), cumulative, fast)

    if cumulative:
        torch.cumsum(field, 1, out=field)
    broken = (~torch.isfinite(field).flatten(1).all(1)).nonzero()[:, 0]
    if len(broken):
        raise ValueError(f"gradients are not finite on path {broken[0]} ({len(broken)} of {len(paths)} paths)")
    return field


def _weighted_gradients(
    model: nn.Module,
    paths: Paths,
    follow: Tensor,
    *,
    rule: tuple[Tensor, Tensor],
    like: Tensor,
    times_direction: bool,
    view: View,
    batch_size: int,
) -> Field:
    """Each step's weighted gradient by itself."""
    nodes, weights = rule
    steps = len(nodes)
    exact = torch.float64 if like.dtype == torch.float64 else torch.float32
    starts, ends = (points.detach().to("cpu", exact) for points in (paths.starts, paths.ends))
    directions = ends - starts
    field = torch.empty(len(paths) * steps, view(directions[:1]).shape[1], dtype=exact)
    for index in torch.arange(len(field)).split(batch_size):
        path, step = index // steps, index % steps
        shape = (-1, *[1] * (paths.ends.ndim - 1))
        points = starts[path] + nodes[step].to(exact).view(shape) * directions[path]
        gradient = _gradient(model, points.to(like.device), follow[path.to(like.device)], like.dtype)
        value = gradient.cpu() * weights[step].to(exact).view(shape)
        field[index] = view(value * directions[path] if times_direction else value)
    return field.view(len(paths), steps, -1)


def _refuse_change(field: Field, plain: Field, cumulative: bool, fast: Fast) -> None:
    """Hold a path's field by faster arithmetic to the plain one."""
    one, other = (part.cumsum(1) if cumulative else part for part in (field, plain))
    alive = one.any(2) | other.any(2)
    change = 1 - cosine_similarity(one[alive].double(), other[alive].double(), dim=1)
    if len(change) and not change.mean() <= fast.tolerance:
        raise ValueError(
            f"{fast} changes the field by {change.mean():.2g} (1 - cosine); raise its tolerance, or do without"
        )


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
