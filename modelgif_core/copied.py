"""Copies of networks."""

import copy
from itertools import chain

from torch import Tensor, nn


def copied(model: nn.Module) -> nn.Module:
    """A copy that shares nothing that is trained, also of a network that keeps computed tensors as attributes."""
    return copy.deepcopy(model, _computed(model))


def frozen_copy(model: nn.Module) -> nn.Module:
    """A copy in eval mode without parameter gradients, which shares the values of all weights, and hooks, with it."""
    shared = _computed(model)
    for part in model.modules():
        # A copied hook would report to a copy of whoever listens.
        shared |= {id(hook): hook for hook in (*part._forward_pre_hooks.values(), *part._forward_hooks.values())}
    for old in chain(model.parameters(), model.buffers()):
        shared[id(old)] = nn.Parameter(old, False) if isinstance(old, nn.Parameter) else old
    return copy.deepcopy(model, shared).eval()


def _computed(model: nn.Module) -> dict[int, object]:
    """What a copy has in place of tensors that are no leaves of a graph, and so could not be copied, by their ids.

    They were computed and are kept among the attributes: by reparametrisations, in an attention's cache.
    """
    found: dict[int, object] = {}
    for part in model.modules():
        kept = [each for value in vars(part).values() for each in (value.values() if type(value) is dict else [value])]
        found |= {id(value): value.detach() for value in kept if isinstance(value, Tensor) and not value.is_leaf}
    return found
