"""The same network with fewer operations: BatchNorm folded into the layer before it."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights

LAYERS = {nn.BatchNorm1d: (nn.Linear, nn.Conv1d), nn.BatchNorm2d: (nn.Conv2d,), nn.BatchNorm3d: (nn.Conv3d,)}
TOLERANCE = 1e-5
WIDE = 128
"""Channels, going in and out, from which on a convolution is wide."""


def folded(model: nn.Module, example: Tensor) -> nn.Module:
    """A frozen copy in eval mode whose BatchNorms are part of the layers before them; the model itself if none can be.

    Which layer feeds which is seen in a forward pass of the example (n, ...), so that any Python in between is fine.
    What is not seen there (a layer whose output goes elsewhere, too) shows in the outputs: unless they are equal to
    rounding, the model is returned as it is.
    """
    model.eval()
    with torch.no_grad():
        # `forward` itself, because hooks on the whole model are the caller's and count calls.
        expected = model.forward(example.clone())
        tensors = chain(model.parameters(), model.buffers())
        shared = {id(old): nn.Parameter(old, False) if isinstance(old, nn.Parameter) else old for old in tensors}
        frozen = copy.deepcopy(model, shared)  # what is not folded stays where it is
        pairs = _pairs(frozen, example)
        if not pairs:
            return model
        for layer, norm in pairs.items():
            _fold(frozen, layer, norm)
        if example.ndim == 4:
            blocked = example.device.type == "cpu" and _wide(frozen)
            order = torch.contiguous_format if blocked else torch.channels_last
            frozen = frozen.to(memory_format=order)  # pyright: ignore[reportCallIssue]
        found = frozen.forward(example.clone())
    close = torch.allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE * float(expected.abs().max()))
    return frozen if close else model


def _pairs(model: nn.Module, example: Tensor) -> dict[str, str]:
    """Layer -> the BatchNorm that reads its output, each called once."""
    made: dict[int, str] = {}
    pairs: dict[str, str] = {}
    calls: dict[str, int] = {}
    kept: list[Tensor] = []  # alive, so that no other tensor gets the same id

    def watch(name: str, module: nn.Module) -> torch.utils.hooks.RemovableHandle:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            calls[name] = calls.get(name, 0) + 1
            kept.append(output)
            layer = made.get(id(inputs[0]))
            if type(module) in LAYERS:
                if layer and isinstance(model.get_submodule(layer), LAYERS[type(module)]):
                    pairs[layer] = name
            else:
                made[id(output)] = name

        return module.register_forward_hook(hook)

    kinds = (*LAYERS, nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    with _removed([watch(name, part) for name, part in model.named_modules() if type(part) in kinds]):
        model.forward(example.clone())
    return {
        layer: norm
        for layer, norm in pairs.items()
        if calls[layer] == calls[norm] == 1 and model.get_submodule(norm).running_mean is not None
    }


def _wide(model: nn.Module) -> bool:
    """Whether most weights are in dense spatial convolutions of many channels, as in VGG and ResNet-18.

    On a processor these are fastest where the library may put blocks of channels together, as it does with colour
    outermost: changing the order costs as the channels, arithmetic as their square. All others want colour innermost.
    """
    weights = [(part, part.weight.numel()) for part in model.modules() if isinstance(part, nn.Conv2d)]
    wide = [
        number
        for part, number in weights
        if part.groups == 1 and max(part.kernel_size) > 1 and min(part.in_channels, part.out_channels) >= WIDE
    ]
    return sum(wide) > sum(number for _, number in weights) * 2 / 3


def _fold(model: nn.Module, before: str, name: str) -> None:
    layer, norm = model.get_submodule(before), model.get_submodule(name)
    fuse = fuse_linear_bn_weights if isinstance(layer, nn.Linear) else fuse_conv_bn_weights
    statistics = (norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias)
    layer.weight, layer.bias = fuse(layer.weight, layer.bias, *statistics)  # pyright: ignore[reportArgumentType]
    model.set_submodule(name, nn.Identity())


@contextmanager
def _removed(handles: list[torch.utils.hooks.RemovableHandle]) -> Iterator[None]:
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
