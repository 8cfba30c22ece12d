"""A classifier's head, its last linear layer, and the features that it reads."""

import copy

import torch
from jaxtyping import Float
from torch import Tensor, nn

from experiments.networks.forward import predictions


def head(model: nn.Module) -> nn.Linear:
    """The last linear layer of a classifier.

    Raises:
        ValueError: if it has none.
    """
    layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
    if not layers:
        raise ValueError(f"{type(model).__name__} has no nn.Linear, and so no head to read or to edit")
    return layers[-1]


def new_head(model: nn.Module, *, classes: int, seed: int) -> nn.Module:
    """A copy whose head is fresh and has so many outputs.

    Raises:
        ValueError: if the model has no head.
    """
    fresh = copy.deepcopy(model)
    old = head(fresh)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        new = nn.Linear(old.in_features, classes, bias=old.bias is not None).to(old.weight)
    fresh.set_submodule(next(name for name, module in fresh.named_modules() if module is old), new)
    return fresh


def outputs_and_features(model: nn.Module, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """The model's outputs and what its head read for them, in the model's own mode and with gradients.

    Raises:
        ValueError: if the model has no head.
    """
    seen: list[Tensor] = []
    hook = head(model).register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0]))
    try:
        outputs = model(inputs)
    finally:
        hook.remove()
    return outputs, seen[-1]


def penultimate(model: nn.Module, inputs: Tensor) -> Float[Tensor, "samples features"]:
    """What the head reads for every input, in eval mode and without gradients, on the model's device.

    Raises:
        ValueError: if the model has no head, or the head does not read one row of features for each input.
    """
    seen: list[Tensor] = []
    hook = head(model).register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0].detach()))
    try:
        predictions(model, inputs)
    finally:
        hook.remove()
    found = torch.cat(seen)
    if found.ndim != 2 or len(found) != len(inputs):
        raise ValueError(f"the head reads {tuple(found.shape)} for {len(inputs)} inputs, not one row for each")
    return found
