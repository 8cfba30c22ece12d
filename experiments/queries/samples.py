"""Queries that several methods share: which samples of the pool to show."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from experiments.interfaces import Offered, Samples

Choice = Callable[[Offered], Samples]


def random_samples(offered: Offered, *, seed: int) -> Samples:
    """A budget of samples drawn from the pool without replacement."""
    return pick(offered.samples, torch.randperm(pool_size(offered), generator=seeded(seed))[: offered.budget])


def pick(samples: Samples, index: Tensor) -> Samples:
    """The samples at these positions, in this order."""
    return Samples(samples.inputs[index], None if samples.labels is None else samples.labels[index])


def pool_size(offered: Offered) -> int:
    """Number of samples in the pool; refuses a budget that is not between 1 and that."""
    size = len(offered.samples.inputs)
    if not 1 <= offered.budget <= size:
        raise ValueError(f"testbed.budget must lie between 1 and the {size} samples of the pool, not {offered.budget}")
    return size


def random_candidates(offered: Offered, count: int, generator: torch.Generator) -> Samples:
    """So many samples drawn from the pool, of which a budget is to be chosen."""
    size = pool_size(offered)
    refuse_candidates(offered.budget, count, size)
    return pick(offered.samples, torch.randperm(size, generator=generator)[:count])


def refuse_candidates(budget: int, count: int, size: int) -> None:
    """Refuse fewer candidates than the budget, or more than the pool has."""
    if not budget <= count <= size:
        raise ValueError(f"need budget <= candidates <= pool, not {budget} <= {count} <= {size}")


def refuse_none(**settings: float) -> None:
    """Refuse settings that are not above 0, by their names."""
    for name, value in settings.items():
        if value <= 0:
            raise ValueError(f"{name} must be above 0, not {value}")


def source(offered: Offered) -> nn.Module:
    """The source model, for choices that ask it; ValueError if the method does not declare that it needs one."""
    if offered.source is None:
        raise ValueError("this choice of samples asks the source model; the method's needs must name `source`")
    return offered.source.load()


def jury(offered: Offered, use: str) -> list[nn.Module]:
    """The models that are offered for this use; ValueError if the method's roles name none."""
    models = offered.models.get(use, ())
    if not models:
        raise ValueError(f"this choice of samples asks models for `{use}`; the method's roles must name some")
    return [one.load() for one in models]


def drawn(models: Sequence[nn.Module], count: int, generator: torch.Generator) -> list[nn.Module]:
    """So many of the models in random order, or all if they are fewer."""
    return [models[at] for at in torch.randperm(len(models), generator=generator)[:count].tolist()]


def seeded(seed: int) -> torch.Generator:
    """A generator of one's own."""
    return torch.Generator().manual_seed(seed)
