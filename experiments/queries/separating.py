"""ModelGiF (Song et al., ICCV 2023): what only this method needs, the choice of reference points by fields themselves.

The published choice ranks reference points with the very negatives of the AUC; here that is `leak=True`, and every
other choice refuses to look at a model that is scored.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from experiments.interfaces import Samples, Testbed
from experiments.queries.samples import pick
from experiments.queries.starts import Start
from modelgif_core import Paths


def ranked_samples(
    testbed: Testbed,
    *,
    start: Start,
    represent: Callable[[nn.Module, Any], Tensor],
    distance: Callable[[Tensor, Tensor], Tensor],
    far: Iterable[str],
    near: Iterable[str] = (),
    candidates: int | None = None,
    seed: int,
    leak: bool = False,
) -> Samples:
    """Samples on which the source's field is far from models that should be far and near to those that should be near.

    A candidate's rank is its mean distance to the `far` roles minus that to the `near` roles, largest first. With
    `near` empty, `far` the tested negatives, all candidates and `leak` this is the published choice.

    Args:
        testbed: its source model is the one that is compared.
        start: where the paths begin.
        represent: extracts fields, perhaps with fewer steps than the comparison itself.
        distance: distances per path.
        far: roles of models independent of the source.
        near: roles of models derived from the source by its owner.
        candidates: how many random samples of the pool to rank; all of them by default.
        seed: draws the candidates.
        leak: permit roles that the testbed scores. A number obtained so says nothing about new models.

    Raises:
        ValueError: if a role is scored by the testbed and `leak` is not set, or no model has it.
    """
    far, near = list(far), list(near)
    seen = sorted({*far, *near} & testbed.tested_roles)
    if seen and not leak:
        raise ValueError(f"roles {seen} are scored by this testbed and cannot select its reference points")
    for roles in filter(None, (far, near)):
        if not set(roles) & set(_roles(testbed)):
            raise ValueError(f"no model of the zoo has a role in {roles}; the roles are {', '.join(_roles(testbed))}")
    pool = testbed.samples
    count = len(pool.inputs) if candidates is None else candidates
    if not 1 <= testbed.budget <= count <= len(pool.inputs):
        raise ValueError(f"need budget <= candidates <= pool, not {testbed.budget} <= {count} <= {len(pool.inputs)}")
    drawn = torch.randperm(len(pool.inputs), generator=torch.Generator().manual_seed(seed))[:count]
    ends = pool.inputs[drawn]
    paths = Paths(start(ends, pool.inputs), ends)
    source = testbed.zoo[testbed.pairs()[0][0]].load()
    rank = torch.cat([_gaps(testbed, part, source, represent, distance, far, near) for part in paths.split(64)])
    return pick(pool, drawn[rank.argsort(descending=True)[: testbed.budget]])


def _gaps(
    testbed: Testbed,
    paths: Paths,
    source: nn.Module,
    represent: Callable[[nn.Module, Any], Tensor],
    distance: Callable[[Tensor, Tensor], Tensor],
    far: list[str],
    near: list[str],
) -> Tensor:
    """Mean distance to `far` minus mean distance to `near`, per path; dead paths rank last."""
    field = represent(source, paths)

    def mean_distance(roles: list[str]) -> Tensor:
        models = [model for model in testbed.zoo.values() if model.role in roles]
        return torch.stack([distance(field, represent(model.load(), paths)) for model in models]).mean(0)

    gap = mean_distance(far) - (mean_distance(near) if near else 0)
    return gap.nan_to_num(-torch.inf)


def _roles(testbed: Testbed) -> list[str]:
    return sorted({model.role for model in testbed.zoo.values()})
