"""The same network with fewer operations: BatchNorm folded into the layer before it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights

from modelgif_core.copied import frozen_copy
from modelgif_core.fast import own_precision

LAYERS = {nn.BatchNorm1d: (nn.Linear, nn.Conv1d), nn.BatchNorm2d: (nn.Conv2d,), nn.BatchNorm3d: (nn.Conv3d,)}
NORMS = tuple(LAYERS)
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}
"""By how much outputs may change, as a share of the largest. In half precision, rounding the folded weights would
itself change the third digit, so nothing is folded there."""


def fold_batchnorm(model: nn.Module, example: Tensor) -> nn.Module:
    """A frozen copy in eval mode whose BatchNorms are part of the layers before them, as far as they can be.

    Which layer feeds which is seen in a forward pass of the example (n, ...), so that any Python in between is fine.
    What is not seen there (a layer whose output goes elsewhere, too) shows in its outputs: unless they are equal to
    rounding, nothing is folded. A network that goes other ways on other inputs asks for an example of each. A subclass
    of BatchNorm that has parts (timm's, with drop and activation) is taken for BatchNorm followed by them. Weights that
    stay as they are, and hooks, are shared with the model; the example lies on its device and has its precision.
    """
    # In lower precision the two outputs would differ by more than rounding.
    with torch.inference_mode(False), torch.no_grad(), own_precision(example.device):
        frozen = frozen_copy(model)
        if not any(isinstance(part, NORMS) for part in frozen.modules()):
            return frozen
        pairs, expected = _pairs(frozen, example)
        if not pairs:
            return frozen
        undo = [_fold(frozen, layer, norm) for layer, norm in pairs.items()]
        found, near = frozen(example.clone()), TOLERANCE[expected.dtype]
        if not torch.allclose(found, expected, rtol=near, atol=near * float(expected.abs().max())):
            for unfold in undo:
                unfold()
    return frozen


def _pairs(model: nn.Module, example: Tensor) -> tuple[dict[str, str], Any]:
    """Layer -> the BatchNorm that reads its output, each called once; and the model's output."""
    made: dict[int, str] = {}
    pairs: dict[str, str] = {}
    calls: dict[str, int] = {}
    kept: list[Tensor] = []  # alive, so that no other tensor gets the same id

    def watch(name: str, module: nn.Module) -> torch.utils.hooks.RemovableHandle:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            calls[name] = calls.get(name, 0) + 1
            kept.append(output)
            layer = made.get(id(inputs[0]))
            if not isinstance(module, NORMS):
                made[id(output)] = name
            elif layer and type(model.get_submodule(layer)) in LAYERS[_kind(module)]:
                pairs[layer] = name

        return module.register_forward_hook(hook)

    layers = {kind for kinds in LAYERS.values() for kind in kinds}
    parts = [(name, part) for name, part in model.named_modules() if isinstance(part, NORMS) or type(part) in layers]
    with _removed([watch(name, part) for name, part in parts]):
        output = model(example.clone())
    if not isinstance(output, Tensor) or output.dtype not in TOLERANCE:
        return {}, output
    return {
        layer: norm
        for layer, norm in pairs.items()
        if calls[layer] == calls[norm] == 1
        and "weight" in model.get_submodule(layer)._parameters  # not computed anew in each call
        and model.get_submodule(norm).running_mean is not None
    }, output


def _kind(norm: nn.Module) -> type[nn.Module]:
    return next(kind for kind in NORMS if isinstance(norm, kind))


def _fold(model: nn.Module, before: str, name: str) -> Callable[[], None]:
    """Fold one pair; returns what undoes it."""
    layer, norm = model.get_submodule(before), model.get_submodule(name)
    found = layer.weight, layer.bias

    def unfold() -> None:
        layer.weight, layer.bias = found  # pyright: ignore[reportAttributeAccessIssue]
        model.set_submodule(name, norm)

    fuse = fuse_linear_bn_weights if isinstance(layer, nn.Linear) else fuse_conv_bn_weights
    statistics = (norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias)
    layer.weight, layer.bias = fuse(layer.weight, layer.bias, *statistics)  # pyright: ignore[reportArgumentType]
    after = [*norm.children()]
    model.set_submodule(name, nn.Sequential(*after).eval() if after else nn.Identity().eval())
    return unfold


@contextmanager
def _removed(handles: list[torch.utils.hooks.RemovableHandle]) -> Iterator[None]:
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
