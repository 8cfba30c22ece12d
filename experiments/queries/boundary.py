"""Samples where one model errs, or nearly."""

import torch
from torch import Tensor

from experiments.interfaces import NEEDS, Offered, Samples
from experiments.networks.forward import logits
from experiments.queries.cutmix import cutmix
from experiments.queries.samples import pick, pool_size, seeded, source


def misclassified_samples(offered: Offered, *, seed: int) -> Samples:
    """Samples that the source model gets wrong, in random order (AKH, Godinot et al., 2025).

    If they are fewer than the budget, CutMix fills it: of them and of their mirror images, each with a box of its own,
    where the authors' program gives all of them one box and mirrors the mixed images. Such an image has the label of
    the one that is pasted into. Their budget is 100; here it is that of all methods.

    Raises:
        ValueError: if the source model gets all of the pool right.
    """
    pool_size(offered)
    labels = offered.samples.labels
    if labels is None:
        raise ValueError(f"this choice of samples {NEEDS['labels']}")
    wrong = (_source_outputs(offered).argmax(1) != labels).nonzero()[:, 0]
    if not len(wrong):
        raise ValueError("the source model classifies the whole pool correctly; choose samples another way")
    generator = seeded(seed)
    chosen = wrong[torch.randperm(len(wrong), generator=generator)][: offered.budget]
    images, labels = offered.samples.inputs[chosen], labels[chosen]
    missing = offered.budget - len(chosen)
    if not missing:
        return Samples(images, labels)
    stock = torch.cat([images, images.flip(3), images.flip(2)])
    drawn = torch.randint(len(stock), (missing,), generator=generator)
    filling = cutmix(stock[drawn], stock, generator=generator)
    return Samples(torch.cat([images, filling]), torch.cat([labels, labels[drawn % len(labels)]]))


def low_margin_samples(offered: Offered, *, seed: int) -> Samples:
    """Samples on which the source model's two largest logits lie closest together, closest first; nothing is drawn."""
    pool_size(offered)
    first, second = _source_outputs(offered).topk(2, dim=1).values.T
    return pick(offered.samples, (first - second).argsort()[: offered.budget])


def _source_outputs(offered: Offered) -> Tensor:
    return logits(source(offered), offered.samples.inputs).cpu()
