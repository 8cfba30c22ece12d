"""The source's mistakes that its copies share and independent models do not: the samples of SAC-w."""

import torch
from jaxtyping import Float
from torch import Tensor

from experiments.interfaces import NEEDS, Offered, Samples
from experiments.networks.forward import predictions
from experiments.queries.samples import jury, pick, pool_size, seeded, source


def inherited_mistakes(offered: Offered, *, seed: int) -> Samples:
    """Samples that the source gets wrong, those first whose wrong label its copies give and independent models do not.

    SAC-w (Guan et al., NeurIPS 2022). Where the source's mistakes are fewer than the budget, samples that it gets right
    fill it, in the same order.

    Args:
        offered: gives pool with labels, budget, source, its copies for `near` and independent models for `far`.
        seed: decides between samples of one rank.

    Raises:
        ValueError: if the pool has no labels, or there are no copies or no independent models.
    """
    pool_size(offered)
    labels = offered.samples.labels
    if labels is None:
        raise ValueError(f"this choice of samples {NEEDS['labels']}")
    answers = predictions(source(offered), offered.samples.inputs).argmax(1).cpu()
    rank = 3 * (answers != labels) + _agreeing(offered, "near", answers) - _agreeing(offered, "far", answers)
    shuffled = torch.randperm(len(labels), generator=seeded(seed))
    return pick(offered.samples, shuffled[rank[shuffled].argsort(descending=True, stable=True)[: offered.budget]])


def _agreeing(offered: Offered, use: str, answers: Tensor) -> Float[Tensor, " samples"]:
    """Share of these models that give the same answer."""
    found = [predictions(one, offered.samples.inputs).argmax(1).cpu() == answers for one in jury(offered, use)]
    return torch.stack(found).float().mean(0)
