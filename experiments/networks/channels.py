"""How active the channels of a network's layers are."""

import torch
from torch import Tensor, nn


def channel_activity(model: nn.Module, layers: list[nn.Module], images: Tensor) -> list[Tensor]:
    """Of each layer's channels (channels,) the mean absolute output on at most 256 images, over the layer's mean."""
    seen: dict[nn.Module, Tensor] = {}

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        channel = 1 if isinstance(module, nn.Conv2d) else -1
        mean = output.detach().abs().movedim(channel, 0).flatten(1).mean(1)
        seen[module] = mean / mean.mean()

    handles = [layer.register_forward_hook(note) for layer in layers]
    try:
        with torch.no_grad():
            model.eval()(images[:256])
    finally:
        for handle in handles:
            handle.remove()
    return [seen[layer] for layer in layers]
