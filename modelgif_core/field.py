"""Gradient fields: a model's gradients along straight paths through its input space (Song et al., 2023, section 3)."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from modelgif_core.fast import Fast, own_precision
from modelgif_core.paths import Paths, widest
from modelgif_core.prepared import Prepared, computes_in, prepared
from modelgif_core.quadrature import Rule, gauss_legendre
from modelgif_core.readout import Readout, predicted_class
from modelgif_core.view import View, flat

Field = Float[Tensor, "paths steps dims"]
"""An alias, not a class: every torch operation keeps working."""

WORTH_PREPARING = 100
"""From how many gradients on a model is prepared, which takes as long as a few batches."""


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
    """The model's gradient field (paths, steps, dims), on its device; float32, or float64 for a double-precision model.

    Step k of a path holds `(end - start) * sum over j <= k of weight_j * gradient(node_j)`, in the input dimensions
    that the view keeps. The last step is the integrated gradient: it sums to s(end) - s(start) up to quadrature error,
    where s is the readout's scalar (completeness). The model runs in eval mode and is left as it was found.

    Args:
        model: any differentiable module that maps a batch of inputs to one tensor. One from `prepared` is taken as it
            is; another is prepared first if the gradients are many. Who streams paths through many calls prepares once.
        paths: where to follow it; they travel to the model's device once.
        steps: number of quadrature nodes on each path.
        rule: the quadrature rule.
        readout: which outputs to follow, decided once at each path's end.
        cumulative: sum the weighted gradients up to each step; otherwise each step stands alone.
        times_direction: multiply by `end - start`; otherwise plain (weighted) gradients.
        view: which input dimensions to keep, all by default.
        batch_size: the most points (path x step) in a forward pass, of whole paths or of one; see `usual_batch`.

    Raises:
        TypeError: if the model returns something else than a tensor.
        ValueError: if a gradient is not finite, an option is out of range, or faster arithmetic changes the field.

    >>> linear = torch.nn.Linear(3, 1, bias=False)
    >>> field = extract_field(linear, Paths(torch.zeros(()), torch.ones(1, 3)), steps=4)
    >>> bool(torch.allclose(field[0, -1], linear.weight[0]))
    True
    """
    like = computes_in(model, paths.ends)
    if batch_size is None:
        batch_size = usual_batch(paths, like.device)
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}")
    if not isinstance(model, Prepared) and len(paths) * steps >= WORTH_PREPARING:
        model = prepared(model, paths.ends[:1])

    with _frozen(model), torch.inference_mode(False), torch.enable_grad(), own_precision(like.device):
        exact = torch.float64 if like.dtype == torch.float64 else torch.float32
        starts, ends = (points.detach().to(like.device, exact) for points in (paths.starts, paths.ends))
        nodes, weights = (numbers.to(exact).to(like.device) for numbers in rule(steps))
        follow = _output_weights(model, ends.to(like.dtype), paths.labels, readout, batch_size)
        options = {"view": view, "times_direction": times_direction, "batch_size": batch_size, "dtype": like.dtype}
        take = partial(_weighted_gradients, model, nodes=nodes, weights=weights, **options)
        if not isinstance(model, Prepared) or model.fast is None:
            field = take(starts, ends, follow)
        else:
            with model.hurried(like.device):
                field = take(starts, ends, follow)
            if not model.proved:
                plain = (take(starts[k : k + 1], ends[k : k + 1], follow[k : k + 1]) for k in range(len(paths)))
                _refuse_change(field, plain, cumulative, model.fast)
                model.proved = True

    if cumulative:
        _accumulate(field)
    # A sum that has left the finite numbers does not come back.
    finite = torch.isfinite(field[:, -1] if cumulative else field).flatten(1).all(1)
    if not finite.all():
        broken = (~finite).nonzero()[:, 0]
        raise ValueError(f"gradients are not finite on path {broken[0]} ({len(broken)} of {len(paths)} paths)")
    return field


def usual_batch(paths: Paths, device: torch.device) -> int:
    """How many points go through a model together: a fixed rule, so that the same machine gives the same bits.

    A processor is busy with 100, whose memory it uses again for the next ones. An accelerator wants thousands; what
    convolutional networks keep for the way back is estimated at 1 to 3 kB for each input value, so that 4 million
    values take 4 to 12 GB.
    """
    most, values = (100, 2_500_000) if device.type == "cpu" else (4096, 4_000_000)
    return max(1, min(most, values // paths.ends[0].numel()))


def whole_paths(batch_size: int, steps: int) -> int:
    """How many paths of so many steps are followed together: as fit into a batch, at least one."""
    return max(1, batch_size // steps)


def _weighted_gradients(
    model: nn.Module,
    starts: Tensor,
    ends: Tensor,
    follow: Tensor,
    *,
    nodes: Tensor,
    weights: Tensor,
    times_direction: bool,
    view: View,
    batch_size: int,
    dtype: torch.dtype,
) -> Field:
    """Each step's weighted gradient by itself, all on the device of what is given."""
    directions = ends - starts
    along = (slice(None), None)  # a place for the steps of each path
    nodes, weights = (numbers.view(-1, *[1] * (ends.ndim - 1)) for numbers in (nodes, weights))
    field = ends.new_empty(len(ends), len(nodes), view(directions[:1]).shape[1])
    together = whole_paths(batch_size, len(nodes))
    for first in range(0, len(ends), together):
        some = slice(first, first + together)
        for step in range(0, len(nodes), batch_size):
            part = slice(step, step + batch_size)
            points = starts[some][along] + nodes[part] * directions[some][along]
            chosen = follow[some][along].expand(-1, points.shape[1], *follow.shape[1:])
            gradient = _gradient(model, points.flatten(0, 1), chosen.flatten(0, 1), dtype)
            value = gradient.view_as(points) * weights[part]
            if times_direction:
                value *= directions[some][along]
            field[some, part] = view(value.flatten(0, 1)).unflatten(0, points.shape[:2])
    return field


def _accumulate(field: Field) -> None:
    """Running sums over steps, in place: as `torch.cumsum`, which on processors takes a hundred times as long."""
    total = torch.zeros_like(field[:, 0], dtype=widest(field.device))
    for step in field.unbind(1):
        step.copy_(total.add_(step))


def _gradient(model: nn.Module, points: Tensor, follow: Tensor, dtype: torch.dtype) -> Tensor:
    points.requires_grad_()
    # The copy lets a model's first layer work in place, which a leaf would refuse.
    output = _output(model, points.clone().to(dtype))
    if not output.requires_grad:
        return torch.zeros_like(points)
    (gradient,) = torch.autograd.grad(output, points, follow.to(output.dtype), allow_unused=True)
    return torch.zeros_like(points) if gradient is None else gradient


def _output_weights(model: nn.Module, ends: Tensor, labels: Tensor | None, readout: Readout, batch_size: int) -> Tensor:
    with torch.no_grad():
        output = torch.cat([_output(model, part.clone()) for part in ends.split(batch_size)])
        return readout(output, None if labels is None else labels.to(output.device))


def _output(model: nn.Module, inputs: Tensor) -> Tensor:
    output = model(inputs)
    if not isinstance(output, Tensor):
        raise TypeError(f"the model must return a tensor, not {type(output).__name__}: wrap it to pick one")
    return output


def _refuse_change(field: Field, plain: Iterator[Field], cumulative: bool, fast: Fast) -> None:
    """Hold the first path that is not dead, by faster arithmetic, to the plain one."""
    path, exact = next(((k, part[0]) for k, part in enumerate(plain) if part.any()), (-1, field[0]))
    if path < 0:
        raise ValueError(f"all {len(field)} paths are dead, so that {fast} cannot be proved; do without")
    one, other = (part.cumsum(0) if cumulative else part for part in (field[path], exact))
    some = one.any(1) | other.any(1)
    tiny = torch.finfo(field.dtype).tiny  # scaled, because torch takes lengths below 1e-8 for 1e-8
    one, other = (part[some] / part[some].abs().amax(1, keepdim=True).clamp_min(tiny) for part in (one, other))
    change = 1 - cosine_similarity(one, other, dim=1).mean()
    if not change <= fast.tolerance:
        raise ValueError(f"{fast} changes the field by {change:.2g} (1 - cosine); raise its tolerance, or do without")


def dead_paths(field: Field) -> Bool[Tensor, " paths"]:
    """True for each path along which the field vanishes everywhere: it says nothing about the model there."""
    return ~field.flatten(1).any(1)


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
