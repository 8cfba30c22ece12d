"""ResNets for CIFAR (He et al., CVPR 2016, section 4.2): three stages of 16, 32 and 64 channels, 6n + 2 layers deep.

The shortcuts have no parameters (option A): where the resolution is halved, every second pixel is kept and the new
channels are zero. Keys and the place of the zeros are those of the checkpoints by Y. Idelbayev ("Proper ResNet
implementation for CIFAR10/CIFAR100 in PyTorch"), which the unlearning experiment of Song et al. (2023) builds on.
torchvision and timm have no such network; the residual blocks are torchvision's.
"""

import re
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from experiments.storage.foreign import fill, read_checkpoint

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""What the published networks standardise colours with: ImageNet's statistics."""
SOURCE = "https://github.com/akamaster/pytorch_resnet_cifar10"

PUBLISHED = {
    20: "resnet20-12fca82f.th",
    32: "resnet32-d509ac18.th",
    44: "resnet44-014dd654.th",
    56: "resnet56-4bfd9763.th",
    110: "resnet110-1d1ed7c2.th",
}
"""Depth -> the name of its checkpoint there."""


class Shortcut(nn.Module):
    """Every second pixel, between as many channels of zeros: (n, c, h, w) to (n, 2c, h / 2, w / 2)."""

    def forward(self, inputs: Tensor) -> Tensor:
        """The inputs' pixels at even places, in the middle half of the channels."""
        zeros = inputs.shape[1] // 2
        return pad(inputs[:, :, ::2, ::2], (0, 0, 0, 0, zeros, zeros))


def resnet(
    depth: int, *, classes: int, seed: int, mean: Sequence[float] = MEAN, std: Sequence[float] = STD
) -> nn.Sequential:
    """A fresh network for images (n, 3, 32, 32) in [0, 1]: standardisation of the colours, then ResNet-`depth`.

    Weights are drawn as by He et al. (ICCV 2015): normal, of variance 2 / inputs, and biases zero.

    Args:
        depth: 6n + 2 layers, such as 20, 32, 44 or 56.
        classes: number of outputs (logits).
        seed: what the weights depend on; the global generator is left alone.
        mean: of the three colours.
        std: standard deviation of the three colours.

    Raises:
        ValueError: if there is no network of that depth, or no such classes or colours.

    >>> sum(parameter.numel() for parameter in resnet(20, classes=10, seed=0).parameters())
    269722
    """
    from torchvision.transforms.v2 import Normalize  # only here: it takes seconds, and composing needs none

    if depth < 8 or depth % 6 != 2:
        raise ValueError(f"depth must be 6n + 2 (20, 32, 44, 56, ...), not {depth}")
    if classes < 1:
        raise ValueError(f"classes must be at least 1, not {classes}")
    if not len(mean) == len(std) == 3 or min(std) <= 0:
        raise ValueError(f"mean and std must be three numbers each, std above 0, not {[*mean]} and {[*std]}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _network(depth // 6, classes)
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
    # On CPUs convolutions are faster with the channels last.
    return nn.Sequential(Normalize([*mean], [*std]), network).to(memory_format=torch.channels_last).eval()  # pyright: ignore[reportCallIssue]


def published_file(root: str | Path, depth: int) -> Path:
    """Where in a folder the published classifier of that depth lies.

    Raises:
        ValueError: if none of that depth was published.

    >>> published_file("data", 20).name
    'resnet20-12fca82f.th'
    """
    if depth not in PUBLISHED:
        raise ValueError(f"depth must be one of {', '.join(map(str, PUBLISHED))}, which were published, not {depth}")
    return Path(root) / PUBLISHED[depth]


def load_published(file: str | Path, depth: int) -> nn.Sequential:
    """A published classifier of CIFAR-10, ready to be trained further: images (n, 3, 32, 32) in [0, 1] to 10 logits.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged, or holds something else than a ResNet of that depth.
    """
    model = resnet(depth, classes=10, seed=0)
    weights = read_checkpoint(Path(file), source=f"put a checkpoint of {SOURCE} there")
    blocks = sum(bool(re.fullmatch(r"layer1\.\d+\.conv1\.weight", key)) for key in weights)
    hint = f"; its first stage is that of depth {6 * blocks + 2}" if blocks not in (0, depth // 6) else ""
    fill(model[1], weights, file=Path(file), what=f"a ResNet-{depth}", hint=hint)
    return model.requires_grad_(True).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def _network(blocks: int, classes: int) -> nn.Sequential:
    layers: dict[str, nn.Module] = {
        "conv1": nn.Conv2d(3, 16, 3, padding=1, bias=False),
        "bn1": nn.BatchNorm2d(16),
        "relu": nn.ReLU(inplace=True),
        "layer1": _stage(16, 16, blocks),
        "layer2": _stage(16, 32, blocks),
        "layer3": _stage(32, 64, blocks),
        "pool": nn.AdaptiveAvgPool2d(1),
        "flatten": nn.Flatten(),
        "linear": nn.Linear(64, classes),
    }
    return nn.Sequential(OrderedDict(layers))


def _stage(channels: int, width: int, blocks: int) -> nn.Sequential:
    from torchvision.models.resnet import BasicBlock

    first = BasicBlock(channels, width) if channels == width else BasicBlock(channels, width, 2, Shortcut())
    return nn.Sequential(first, *(BasicBlock(width, width) for _ in range(blocks - 1)))
