"""A model made ready for many gradients, once: the same function, in fewer and faster operations."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from modelgif_core.fast import Fast
from modelgif_core.fold import fold_batchnorm
from modelgif_core.order import memory_order


class Prepared(nn.Module):
    """What `prepared` returns: maps a batch of inputs to what the model maps it to."""

    def __init__(self, network: nn.Module, fast: Fast | None = None) -> None:
        super().__init__()
        self.network = network
        self.fast = fast
        self.proved = fast is None
        """Whether faster arithmetic was seen to keep the field."""
        self._compiled = network if fast is None else fast.compiled(network)
        self._hurried = False

    def forward(self, inputs: Tensor) -> Any:
        """The network's output."""
        return (self._compiled if self._hurried else self.network)(inputs)

    def refuse_unproved(self) -> None:
        """Refuse faster arithmetic in which no field has been extracted.

        Raises:
            ValueError: if it was asked for, and is not proved.
        """
        if not self.proved:
            raise ValueError(
                f"{self.fast} has no effect on this method, which extracts no field; leave `fast` out of its prepare"
            )

    @contextmanager
    def hurried(self, device: torch.device) -> Iterator[None]:
        """Faster arithmetic inside, if it was asked for."""
        if self.fast is None:
            yield
            return
        self._hurried = True
        try:
            with self.fast.arithmetic(device):
                yield
        finally:
            self._hurried = False


def prepared(model: nn.Module, example: Tensor, *, fast: Fast | None = None) -> Prepared:
    """A frozen copy in eval mode that is equal to rounding and faster; hand it to `extract_field` in the model's place.

    BatchNorms become part of the layers before them, if outputs on the example stay, and images lie in the order in
    memory that suits the network. What stays as it is shares its memory with the model, so train no model whose
    prepared copy is in use. Forward hooks of the model come along and are called in preparing, too: who counts what
    passes through counts the example up to three times. Worth it from about a hundred gradients on.

    Args:
        model: any differentiable module that maps a batch of inputs to one tensor.
        example: inputs (n, ...) of the shape that will be shown, on any device.
        fast: faster arithmetic than the model's own; the first field extracted proves, or refuses, it.

    Raises:
        ValueError: if faster arithmetic would have no effect on this model or device.

    >>> images = torch.rand(2, 3, 8, 8)
    >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten()).eval()
    >>> ready = prepared(model, images[:1])
    >>> sum(isinstance(part, nn.BatchNorm2d) for part in ready.modules())
    0
    >>> bool(torch.allclose(ready(images), model(images), atol=1e-5))
    True
    """
    like = computes_in(model, example)
    if fast is not None:
        fast.refuse_misfit(like)
    with torch.inference_mode(False), torch.no_grad():
        example = example.detach().to(like, copy=True)
        network = fold_batchnorm(model, example)
        halved = fast is not None and fast.precision is not None
        order = torch.channels_last if halved and example.ndim == 4 else memory_order(network, example)
        return Prepared(network.to(memory_format=order), fast).eval()  # pyright: ignore[reportCallIssue]


def computes_in(model: nn.Module, default: Tensor) -> Tensor:
    """A tensor on the device and in the precision that the model computes in."""
    tensors = (t for group in (model.parameters(), model.buffers()) for t in group if t.is_floating_point())
    return next(tensors, default)
