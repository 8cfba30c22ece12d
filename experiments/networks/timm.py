"""Networks by timm name, with their normalisation inside, so that every model takes images in [0, 1]."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

MNIST_MEAN, MNIST_STD = 0.1307, 0.3081


class Normalise(nn.Module):
    """Subtracts a mean and divides by a standard deviation."""

    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        self.mean, self.std = mean, std

    def forward(self, inputs: Tensor) -> Tensor:
        """Images in [0, 1] to standardised ones."""
        return (inputs - self.mean) / self.std


def build(name: str, *, classes: int, seed: int, **options: Any) -> nn.Sequential:
    """A fresh timm network for grey images: normalisation, then the network.

    Raises:
        ValueError: if timm knows no such network.
    """
    import timm  # only here: it takes seconds, and composing a zoo needs no network

    if not timm.is_model(name):
        raise ValueError(
            f"timm {timm.__version__} has no network {name!r}; it has {', '.join(timm.list_models('test_*'))}, ..."
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = timm.create_model(name, num_classes=classes, in_chans=1, **options)
    # On CPUs convolutions are up to a third faster with the channels last.
    return nn.Sequential(Normalise(MNIST_MEAN, MNIST_STD), network).to(memory_format=torch.channels_last).eval()  # pyright: ignore[reportCallIssue]


def new_head(model: nn.Sequential | nn.Module, *, classes: int, seed: int) -> nn.Sequential:
    """A copy whose classifier is fresh."""
    model = copy.deepcopy(model)
    assert isinstance(model, nn.Sequential)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model[-1].reset_classifier(classes)  # pyright: ignore[reportCallIssue]
    return model
