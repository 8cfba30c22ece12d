"""Networks and their altered copies, for trying things out: what the tree should put together."""

import torch
from torch import nn

from experiments.networks.perturbed import perturbed
from experiments.testbeds.pairwise import networks


def original() -> nn.Module:
    """timm's test_resnet with fresh weights, for images of any size in [0, 1]."""
    return networks.load("timm:test_resnet", seed=7)


def copied() -> nn.Module:
    """The same with a tenth of noise on its weights, as after a little fine-tuning."""
    with torch.random.fork_rng(devices=[]):
        return perturbed(0.1, 1, original)


def small() -> nn.Module:
    """A smooth convolutional classifier of grey images with ten classes and random weights."""
    return _classifier(0, 10)


def small_copied() -> nn.Module:
    """The same with a twentieth of noise on its weights."""
    return perturbed(0.05, 1, small)


def small_stranger() -> nn.Module:
    """Another of the same make."""
    return _classifier(1, 10)


def small_other() -> nn.Module:
    """Another one, with five classes."""
    return _classifier(2, 5)


def _classifier(seed: int, classes: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [nn.Conv2d(1, 8, 3, padding=1), nn.SiLU(), nn.Conv2d(8, 8, 3, 2), nn.SiLU()]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(72, classes)).eval()
