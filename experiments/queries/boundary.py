"""Samples where one model errs, or nearly."""

import torch
from torch import Tensor

from experiments.interfaces import Samples, Testbed
from experiments.networks.forward import logits
from experiments.queries.cutmix import cutmix
from experiments.queries.samples import pick, pool_size, seeded


def misclassified_samples(testbed: Testbed, *, seed: int) -> Samples:
    """Samples that the source model gets wrong, in random order (AKH, Godinot et al., 2025).

    If they are fewer than the budget, CutMix of them and of their mirror images fills it, as that paper does.

    Raises:
        ValueError: if the source model gets all of the pool right.
    """
    pool_size(testbed)
    labels = _labels(testbed)
    wrong = (_source_outputs(testbed).argmax(1) != labels).nonzero()[:, 0]
    if not len(wrong):
        raise ValueError("the source model classifies the whole pool correctly; choose samples another way")
    generator = seeded(seed)
    found = pick(testbed.samples, wrong[torch.randperm(len(wrong), generator=generator)][: testbed.budget])
    missing = testbed.budget - len(found.inputs)
    if not missing:
        return found
    stock = torch.cat([found.inputs, found.inputs.flip(3), found.inputs.flip(2)])
    filling = stock[torch.randint(len(stock), (missing,), generator=generator)]
    return Samples(torch.cat([found.inputs, cutmix(filling, stock, generator=generator)]))


def low_margin_samples(testbed: Testbed, *, seed: int) -> Samples:
    """Samples on which the source model's two largest logits lie closest together, closest first; nothing is drawn."""
    pool_size(testbed)
    first, second = _source_outputs(testbed).topk(2, dim=1).values.T
    return pick(testbed.samples, (first - second).argsort()[: testbed.budget])


def _source_outputs(testbed: Testbed) -> Tensor:
    sources = {source for source, _ in testbed.pairs()}
    if len(sources) != 1:
        raise ValueError(f"this choice of samples asks one source model; the testbed has {len(sources)}")
    return logits(testbed.zoo[sources.pop()].load(), testbed.samples.inputs)


def _labels(testbed: Testbed) -> Tensor:
    if testbed.samples.labels is None:
        raise ValueError("this choice of samples needs a labelled pool")
    return testbed.samples.labels
