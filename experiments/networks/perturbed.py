"""Networks with noise on their weights."""

from collections.abc import Callable

import torch
from torch import nn


def perturbed(noise: float, seed: int, make: Callable[[], nn.Module]) -> nn.Module:
    """A network with Gaussian noise on its weights."""
    model = make()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += noise * parameter.std() * torch.randn(parameter.shape, generator=generator)
    return model
