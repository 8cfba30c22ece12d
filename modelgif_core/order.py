"""In which order images should lie in memory: a rule by a network's structure, so that it is the same on every run."""

import torch
from torch import Tensor, nn

DEEP, FEW_PIXELS, SHARE = 256, 4, 1 / 3
"""Blocks of channels win in convolutions from 256 channels to 256 or more, on maps of 2 x 2 at most (measured on AMD
Zen 5 over ResNets and VGG at 32 and 64 pixels: there by 10 to 35 %, elsewhere they lose as much). Networks in which a
third of the arithmetic or more is of that kind are faster with them, ResNet-18, -34 and -50 at 32 pixels for example,
unless any convolution is grouped: such cost many times their arithmetic in blocks."""


def memory_order(network: nn.Module, example: Tensor) -> torch.memory_format:
    """The faster order for a frozen network that is shown images like the example (n, colours, height, width).

    Colour innermost (`channels_last`), or outermost (`contiguous_format`), which lets the library of a processor put
    blocks of channels together; the order that it has (`preserve_format`) if neither is known to gain: without
    convolutions of images, and on an accelerator in full precision, whose fast paths for colour innermost are those of
    lower precision.
    """
    convolutions = [part for part in network.modules() if isinstance(part, nn.Conv2d)]
    if example.ndim != 4 or not convolutions:
        return torch.preserve_format
    if example.device.type != "cpu":
        halved = convolutions[0].weight.dtype in (torch.bfloat16, torch.float16)
        return torch.channels_last if halved else torch.preserve_format
    deep = {part for part in convolutions if min(part.in_channels, part.out_channels) >= DEEP}
    if not deep or any(part.groups > 1 for part in convolutions):
        return torch.channels_last
    work = {True: 0, False: 0}  # multiplications where blocks win, and elsewhere

    def count(part: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(part, nn.Conv2d)
        pixels = output.shape[2:].numel()
        work[part in deep and pixels <= FEW_PIXELS] += part.weight.numel() * pixels

    handles = [part.register_forward_hook(count) for part in convolutions]
    try:
        with torch.no_grad():
            network(example.clone())
    finally:
        for handle in handles:
            handle.remove()
    return torch.contiguous_format if work[True] >= SHARE * sum(work.values()) else torch.channels_last
