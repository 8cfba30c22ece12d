"""Networks with noise on their weights."""

from collections.abc import Callable

import torch
from torch import nn


def perturbed(noise: float, seed: int, make: Callable[[], nn.Module]) -> nn.Module:
    """A network with Gaussian noise on its weights, of `noise` times the standard deviation of each tensor."""
    model = make()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.numel() > 1:  # one number alone has no standard deviation
                drawn = torch.randn(parameter.shape, generator=generator).to(parameter)
                parameter += noise * parameter.std() * drawn
    return model
