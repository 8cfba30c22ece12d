"""Networks by torchvision name, with their normalisation inside, so that every model takes images in [0, 1]."""

from collections.abc import Sequence

import torch
from torch import nn

from experiments.networks.reinitialised import reinitialised
from experiments.networks.timm import Normalise

REHEARSED = 16
"""Width of the hidden layers of a VGG's head in a dry run; 4,096 otherwise, which make nine tenths of its weights."""


def build(
    *, name: str, classes: int, mean: Sequence[float], std: Sequence[float], seed: int, dry_run: bool = False
) -> nn.Sequential:
    """A fresh torchvision classifier: normalisation, then the network.

    Args:
        name: torchvision's, such as vgg16_bn.
        classes: number of outputs (logits).
        mean: of each colour.
        std: standard deviation of each colour.
        seed: what the weights depend on; the global generator is left alone.
        dry_run: narrows the hidden layers of a VGG's head, so that a rehearsal fits a small machine.

    Raises:
        ValueError: if torchvision knows no such classifier.

    >>> build(name="resnet18", classes=10, mean=[0.5] * 3, std=[0.25] * 3, seed=0)(torch.rand(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """
    from torchvision import models  # only here: it takes seconds, and composing a zoo needs no network

    known = models.list_models(module=models)
    if name not in known:
        raise ValueError(f"torchvision has no classifier {name!r}; it has {', '.join(known)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        # A rehearsal draws no weights that it throws away.
        with torch.device("meta" if dry_run else "cpu"):
            network = models.get_model(name, weights=None, num_classes=classes)
        if dry_run:
            network = reinitialised(_narrow(network).to_empty(device="cpu"), seed)
    # On CPUs convolutions are faster with the channels last.
    return nn.Sequential(Normalise(mean, std), network).to(memory_format=torch.channels_last).eval()  # pyright: ignore[reportCallIssue]


def _narrow(network: nn.Module) -> nn.Module:
    wide = [(name, layer) for name, layer in network.named_modules() if isinstance(layer, nn.Linear)]
    taken = wide[0][1].in_features
    for place, (name, layer) in enumerate(wide, start=1):
        width = layer.out_features if place == len(wide) else REHEARSED
        network.set_submodule(name, nn.Linear(taken, width))
        taken = width
    return network
