"""Linear mode connectivity (Frankle et al., ICML 2020): whether two models lie in one basin of the loss.

A model that was trained on from another stays in its basin: halfway between their weights is a model that works.
Between independently trained ones it does not, even where their answers agree. BatchNorm's statistics are estimated
anew, as averaged ones belong to no model (Jordan et al., "REPAIR", ICLR 2023).
"""

from copy import deepcopy
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from experiments.interfaces import Samples
from experiments.methods.outputs.pointwise import outputs


@dataclass(frozen=True)
class Endpoint:
    """A model at one end of the line."""

    model: nn.Module
    """A copy of its own, with the samples' BatchNorm statistics."""
    samples: Samples
    labels: Int[Tensor, " samples"]
    """What it answers."""


def endpoint(model: nn.Module, samples: Samples) -> Endpoint:
    """The model with the samples' statistics and its answers to them; the model itself is left alone.

    Raises:
        ValueError: if the model is no classifier, or it has BatchNorm and there are fewer than two samples.
    """
    settled = deepcopy(model)
    estimate_statistics(settled, samples)
    return Endpoint(settled, samples, outputs(settled, samples).argmax(1))


def interpolation_barrier(a: Endpoint, b: Endpoint) -> Float[Tensor, " samples"]:
    """Share of the two ends' labels that the middle of the line does not give: 0 (it gives both), 0.5 or 1 (neither).

    The mean is the accuracy on the ends' own labels, which is 1 at the ends, that is lost halfway. Where the ends
    answer differently, half is lost at least. No line leads to another architecture: 1.
    """
    first, second = a.model.state_dict(), b.model.state_dict()
    if {name: values.shape for name, values in first.items()} != {
        name: values.shape for name, values in second.items()
    }:
        return torch.ones(len(a.labels))
    middle = deepcopy(a.model)
    floats = [name for name, values in first.items() if values.is_floating_point()]  # a counter has no middle
    middle.load_state_dict(first | {name: torch.lerp(first[name], second[name], 0.5) for name in floats})
    estimate_statistics(middle, a.samples)
    found = outputs(middle, a.samples).argmax(1)
    return torch.stack([(found != end.labels).float() for end in (a, b)]).mean(0)


def estimate_statistics(model: nn.Module, samples: Samples) -> None:
    """Set the running statistics of every BatchNorm of the model to those of the samples, all at once.

    Raises:
        ValueError: if there are fewer than two samples.
    """
    norms = [part for part in model.modules() if isinstance(part, _BatchNorm) and part.running_mean is not None]
    if not norms:
        return
    if len(samples.inputs) < 2:
        raise ValueError(f"BatchNorm's statistics need 2 samples or more, not {len(samples.inputs)}; raise the budget")
    model.eval()
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean, not a moving one
        norm.train()
    device = next(p.device for p in model.parameters())
    with torch.no_grad():
        model(samples.inputs.to(device, copy=True))  # a model's first layer may work in place
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()
