"""torchvision's networks for small photographs, normalisation inside, to be filled with published weights."""

from collections.abc import Sequence

import torch
from torch import nn

from experiments.networks.timm import Normalise

VGG = {"vgg13": ("B", False), "vgg16_bn": ("D", True), "vgg19_bn": ("E", True)}
"""VGGs by name: their row in Simonyan and Zisserman's table, and whether they have BatchNorm."""
NETWORKS = (*VGG, "resnet18", "resnet34", "densenet121", "mobilenet_v2")


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
    from torchvision import models  # only here: it takes seconds, and composing a zoo needs no network

    if name not in NETWORKS:
        raise ValueError(f"there is no network {name!r} here; there are {', '.join(NETWORKS)}")
    if not len(mean) == len(std) == 3 or min(std) <= 0:
        raise ValueError(f"mean and std must be three numbers each, std above 0, not {[*mean]} and {[*std]}")
    with torch.device("meta"):
        if name in VGG and narrow > 1:
            network = _narrow_vgg(*VGG[name], classes=classes, narrow=narrow)
        else:
            network = models.get_model(name, weights=None, num_classes=classes)
    return nn.Sequential(Normalise(mean, std), network).eval()


def _narrow_vgg(row: str, batch_norm: bool, *, classes: int, narrow: int) -> nn.Module:
    from torchvision.models import vgg

    layers = [width if isinstance(width, str) else width // narrow for width in vgg.cfgs[row]]
    network = vgg.VGG(vgg.make_layers(layers, batch_norm), num_classes=classes, init_weights=False)
    features, hidden = 7 * 7 * 512 // narrow, 4096 // narrow
    network.classifier[0] = nn.Linear(features, hidden)
    network.classifier[3] = nn.Linear(hidden, hidden)
    network.classifier[6] = nn.Linear(hidden, classes)
    return network
