"""What a model still gets right of a pool of images: blind to what hides behind the head."""

import torch
from jaxtyping import Float
from scipy.stats import rankdata
from torch import Tensor, nn

from experiments.interfaces import Pools
from experiments.methods.knowledge.answers import answers


def pool_accuracy(model: nn.Module, pools: Pools, *, pool: str) -> Float[Tensor, ""]:
    """Share of a pool's images that the model classifies right: 0 to 1.

    Raises:
        ValueError: if there is no such pool, or the model is no classifier of its classes.
    """
    outputs, labels = answers(model, pools, pool)
    return (outputs.argmax(1) == labels).double().mean()


def class_rank(model: nn.Module, pools: Pools, *, pool: str) -> Float[Tensor, ""]:
    """Mean rank of the true class among all logits: 0 (always the largest) to 1 (always the smallest).

    The trivial control: suppressing one output satisfies it. Equal logits share their mean rank, so that a model whose
    logits are all equal has 0.5.

    Raises:
        ValueError: as `pool_accuracy`.
    """
    outputs, labels = answers(model, pools, pool)
    ranks = torch.from_numpy(rankdata(-outputs.numpy(), axis=1)) - 1
    return (ranks.gather(1, labels[:, None]) / (outputs.shape[1] - 1)).mean()
