"""A network and its altered copy, for trying things out: what the tree should put together."""

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
