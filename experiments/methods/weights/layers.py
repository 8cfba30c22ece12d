"""How far corresponding weight tensors lie apart: a control with all access, and what the smallest effort hides from.

No published method: a fine-tuned or pruned copy keeps tensors of its original almost as they were, which needs no
queries to be seen. A copy of another architecture keeps none; one whose hidden units are renumbered answers as before
and looks like a stranger here.
"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

Weights = Mapping[str, Tensor]
"""Name -> values, on the CPU."""


def weight_tensors(model: nn.Module, queries: Any = None) -> Weights:
    """The model's weight tensors of at least two dimensions, by name; biases and scales are none.

    Raises:
        ValueError: if it has none.
    """
    found = {name: values.detach().cpu() for name, values in model.named_parameters() if values.ndim >= 2}
    if not found:
        raise ValueError(
            "the model has no weight tensor of two dimensions or more; take a method that asks its outputs"
        )
    return found


def nearest_layer(a: Weights, b: Weights) -> Float[Tensor, ""]:
    """The smallest `relative_distance` of all layers: 0 (one layer is the same) to 1; 1 for different architectures.

    Small where one layer was left alone, such as a frozen stem. About 0.7 for unrelated layers.
    """
    distances = layer_distances(a, b)
    return torch.ones(()) if distances is None else distances.min()


def farthest_layer(a: Weights, b: Weights) -> Float[Tensor, ""]:
    """The largest `relative_distance` of all layers: 0 (all are the same) to 1; 1 for different architectures.

    Large where one layer is new, such as a replaced head of the same shape. About 0.7 for unrelated layers.
    """
    distances = layer_distances(a, b)
    return torch.ones(()) if distances is None else distances.max()


def layer_distances(a: Weights, b: Weights) -> Float[Tensor, " layers"] | None:
    """Each layer's `relative_distance`; None if names or shapes differ, and layers do not correspond."""
    if {name: values.shape for name, values in a.items()} != {name: values.shape for name, values in b.items()}:
        return None
    return torch.stack([relative_distance(values, b[name]) for name, values in a.items()])


def relative_distance(a: Tensor, b: Tensor) -> Float[Tensor, ""]:
    """|a - b| / (|a| + |b|) in Frobenius norms: 0 (the same) to 1 (opposite, or one is zero); unrelated, about 0.7.

    Symmetric, unlike a change relative to one of the two. Two zero tensors are the same.

    >>> float(relative_distance(torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 4.0]])))  # 5 / (3 + 4)
    0.7142857142857143
    """
    first, second = a.double(), b.double()
    length = first.norm() + second.norm()
    return (first - second).norm() / torch.where(length > 0, length, 1)
