"""torchvision's networks for small photographs, normalisation inside, so that every model takes images in [0, 1]."""

from collections.abc import Sequence

import torch
from torch import nn

from experiments.networks.reinitialised import reinitialised
from experiments.networks.timm import Normalise

VGG = {"vgg13": ("B", False), "vgg13_bn": ("B", True), "vgg16_bn": ("D", True), "vgg19_bn": ("E", True)}
"""VGGs by name: their row in Simonyan and Zisserman's table, and whether they have BatchNorm."""
NETWORKS = (*VGG, "resnet18", "resnet34", "densenet121", "mobilenet_v2")
REHEARSED = 16
"""By how much a VGG is narrowed in a dry run, so that it fits a small machine."""


def empty(name: str, *, classes: int, mean: Sequence[float], std: Sequence[float], narrow: int = 1) -> nn.Sequential:
    """A network whose weights are yet to be given: images (n, 3, 32, 32) in [0, 1], normalised, to `classes` logits.

    Its tensors lie on the device `meta`, which takes neither memory nor time.

    Args:
        name: torchvision's, one of NETWORKS.
        classes: number of outputs.
        mean: of the three colours.
        std: standard deviation of the three colours.
        narrow: by which a VGG's channels and its classifier's features are divided, for rehearsals; others are small.

    Raises:
        ValueError: if there is no such network, or the colours are not three.
    """
    return nn.Sequential(_normalise(mean, std), _network(name, classes, narrow, device="meta")).eval()


def build(
    *, name: str, classes: int, mean: Sequence[float], std: Sequence[float], seed: int, dry_run: bool = False
) -> nn.Sequential:
    """The same with fresh weights.

    Args:
        name: torchvision's, one of NETWORKS.
        classes: number of outputs.
        mean: of the three colours.
        std: standard deviation of the three colours.
        seed: what the weights depend on; the global generator is left alone.
        dry_run: narrows a VGG.

    Raises:
        ValueError: as `empty`.

    >>> build(name="resnet18", classes=10, mean=[0.5] * 3, std=[0.25] * 3, seed=0)(torch.rand(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        # A rehearsal draws no weights that it throws away.
        network = _network(name, classes, REHEARSED if dry_run else 1, device="meta" if dry_run else "cpu")
        if dry_run:
            network = reinitialised(network.to_empty(device="cpu"), seed)
    # On CPUs convolutions are faster with the channels last.
    return nn.Sequential(_normalise(mean, std), network).to(memory_format=torch.channels_last).eval()  # pyright: ignore[reportCallIssue]


def _normalise(mean: Sequence[float], std: Sequence[float]) -> Normalise:
    if not len(mean) == len(std) == 3 or min(std) <= 0:
        raise ValueError(f"mean and std must be three numbers each, std above 0, not {[*mean]} and {[*std]}")
    return Normalise(mean, std)


def _network(name: str, classes: int, narrow: int, *, device: str) -> nn.Module:
    from torchvision import models  # only here: it takes seconds, and composing a zoo needs no network

    if name not in NETWORKS:
        raise ValueError(f"there is no network {name!r} here; there are {', '.join(NETWORKS)}")
    with torch.device(device):
        if name in VGG and narrow > 1:
            return _narrow_vgg(*VGG[name], classes=classes, narrow=narrow)
        return models.get_model(name, weights=None, num_classes=classes)


def _narrow_vgg(row: str, batch_norm: bool, *, classes: int, narrow: int) -> nn.Module:
    from torchvision.models import vgg

    layers = [width if isinstance(width, str) else width // narrow for width in vgg.cfgs[row]]
    network = vgg.VGG(vgg.make_layers(layers, batch_norm), num_classes=classes, init_weights=False)
    features, hidden = 7 * 7 * 512 // narrow, 4096 // narrow
    network.classifier[0] = nn.Linear(features, hidden)
    network.classifier[3] = nn.Linear(hidden, hidden)
    network.classifier[6] = nn.Linear(hidden, classes)
    return network
