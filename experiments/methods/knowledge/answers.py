"""What a model answers on a pool of images, and the difference of two models' values."""

from torch import Tensor, nn

from experiments.interfaces import POOLS, Pools, Samples, labels_of
from experiments.networks.forward import logits


def answers(model: nn.Module, pools: Pools, pool: str) -> tuple[Tensor, Tensor]:
    """A pool's logits (n, classes) in double precision and labels (n,), on the CPU.

    Raises:
        ValueError: if there is no such pool, or the model is no classifier of its classes.
    """
    if pool not in POOLS:
        raise ValueError(f"pool must be one of {', '.join(POOLS)}, not {pool!r}")
    samples: Samples = getattr(pools, pool)
    outputs = logits(model, samples.inputs).cpu().double()
    if outputs.shape != (len(samples.inputs), pools.classes):
        raise ValueError(f"a classifier of {pools.classes} classes is asked, not one whose outputs are {outputs.shape}")
    return outputs, labels_of(samples, pool).cpu()


def gap(a: Tensor, b: Tensor) -> Tensor:
    """Absolute difference of two models' values, element by element: 0 (same) upwards, in their units."""
    return (a - b).abs()
