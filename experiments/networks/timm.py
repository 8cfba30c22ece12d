"""Networks by timm name, with their normalisation inside, so that every model takes images in [0, 1]."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

MNIST_MEAN, MNIST_STD = 0.1307, 0.3081


class Normalise(nn.Module):
    """Subtracts a mean and divides by a standard deviation: of all colours, or of each its own."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: float | Sequence[float], std: float | Sequence[float]) -> None:
        super().__init__()
        for name, value in {"mean": mean, "std": std}.items():
            self.register_buffer(name, torch.tensor(value).view(-1, 1, 1), persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Images in [0, 1] to standardised ones."""
        return (inputs - self.mean) / self.std


def build(
    name: str,
    *,
    classes: int,
    seed: int,
    channels: int = 1,
    mean: float | Sequence[float] = MNIST_MEAN,
    std: float | Sequence[float] = MNIST_STD,
    **options: Any,
) -> nn.Sequential:
    """A fresh timm network: normalisation, then the network.

    Args:
        name: timm's.
        classes: number of outputs (logits).
        seed: what the weights depend on; the global generator is left alone.
        channels: colours of the images.
        mean: of all pixels, or of each colour.
        std: standard deviation of the same.
        options: what else `timm.create_model` takes.

    Raises:
        ValueError: if timm knows no such network, or it cannot be built with these options.
    """
    import timm  # only here: it takes seconds, and composing a zoo needs no network

    if not timm.is_model(name):
        raise ValueError(
            f"timm {timm.__version__} has no network {name!r}; it has {', '.join(timm.list_models('test_*'))}, ..."
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            network = timm.create_model(name, num_classes=classes, in_chans=channels, **options)
        except Exception as error:  # each network refuses in its own way
            given = ", ".join(f"{key}={value!r}" for key, value in options.items()) or "no options"
            raise ValueError(f"timm cannot build {name!r} with {given}: {error}") from error
    # On CPUs convolutions are up to a third faster with the channels last.
    return nn.Sequential(Normalise(mean, std), network).to(memory_format=torch.channels_last).eval()  # pyright: ignore[reportCallIssue]
