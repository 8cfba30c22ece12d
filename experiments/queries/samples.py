"""Queries that several methods share: which samples of the pool to show, and paths to them."""

from collections.abc import Callable

import torch
from torch import Tensor

from experiments.interfaces import Samples, Testbed

Choice = Callable[[Testbed], Samples]


def random_samples(testbed: Testbed, *, seed: int) -> Samples:
    """A budget of samples drawn from the pool without replacement."""
    return pick(testbed.samples, torch.randperm(pool_size(testbed), generator=seeded(seed))[: testbed.budget])


def pick(samples: Samples, index: Tensor) -> Samples:
    """The samples at these positions, in this order."""
    return Samples(samples.inputs[index], None if samples.labels is None else samples.labels[index])


def pool_size(testbed: Testbed) -> int:
    """Number of samples in the pool; refuses a budget that is not between 1 and that."""
    size = len(testbed.samples.inputs)
    if not 1 <= testbed.budget <= size:
        raise ValueError(f"testbed.budget must lie between 1 and the {size} samples of the pool, not {testbed.budget}")
    return size


def seeded(seed: int) -> torch.Generator:
    """A generator of one's own."""
    return torch.Generator().manual_seed(seed)
