"""Copies whose weights are not quite the victim's, without any training."""

import copy
from functools import partial

import torch
from torch import Tensor, nn

from experiments.networks.perturbed import perturbed


def round_weights(
    victim: nn.Module, images: Tensor, labels: Tensor, *, seed: int | None = None, bits: int = 8
) -> nn.Module:
    """Weights as integers of so many bits would have them: symmetric rounding, with a scale for every output channel.

    As usual after training (Nagel et al., "A White Paper on Neural Network Quantization", 2021). Every weight of two or
    more dimensions is rounded to one of 2^bits - 1 levels up to the channel's largest; biases and BatchNorm stay.

    Args:
        victim: is left alone.
        images: are not asked.
        labels: are not asked.
        seed: draws nothing; who wants several copies takes several numbers of bits.
        bits: 2 at least.

    Raises:
        ValueError: if there are fewer bits, which leave no weight but zero.
    """
    if bits < 2:
        raise ValueError(f"bits must be at least 2, of which one is the sign, not {bits}")
    model = copy.deepcopy(victim).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                largest = weight.abs().amax(dim=tuple(range(1, weight.ndim)), keepdim=True)
                step = largest / (2 ** (bits - 1) - 1)
                weight.copy_(torch.where(step > 0, (weight / step).round() * step, weight))
    return model


def add_noise(victim: nn.Module, images: Tensor, labels: Tensor, *, seed: int, scale: float = 0.1) -> nn.Module:
    """Gaussian noise on every weight tensor, of `scale` times its standard deviation.

    Args:
        victim: is left alone.
        images: are not asked.
        labels: are not asked.
        seed: draws the noise.
        scale: 0 for none.

    Raises:
        ValueError: if the scale is below 0.
    """
    if scale < 0:
        raise ValueError(f"scale must be 0 or more, in standard deviations of each weight tensor, not {scale}")
    return perturbed(scale, seed, partial(copy.deepcopy, victim)).eval()
