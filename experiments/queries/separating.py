"""Reference points chosen by fields themselves: where independent models part from the source and its kin.

The published choice (Song et al., ICCV 2023) ranks reference points with the very negatives of the AUC; here that asks
for a method with `leak`, and no other gets a model that is scored. The same choice the other way round is a false claim
(Liu et al., "False Claims against Model Ownership Resolution", USENIX Security 2024): points on which scored strangers
are near the source, and others far.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from experiments.interfaces import Offered, Samples, ZooModel
from experiments.queries.samples import pick, pool_size, refuse_candidates, seeded, source
from experiments.queries.starts import Start
from modelgif_core import Paths


def ranked_samples(
    offered: Offered,
    *,
    start: Start,
    represent: Callable[[nn.Module, Any], Tensor],
    distance: Callable[[Tensor, Tensor], Tensor],
    candidates: int | None = None,
    seed: int,
) -> Samples:
    """Samples on which the source's field is far from models that should be far and near to those that should be near.

    A candidate's rank is its mean distance to the models for `far` (independent of the source) minus that to those for
    `near` (derived from the source by its owner), largest first. With none for `near`, the tested negatives for `far`
    and all candidates this is the published choice.

    Args:
        offered: gives pool, budget, source and the models for `far` and `near`.
        start: where the paths begin.
        represent: extracts fields, perhaps with fewer steps than the comparison itself.
        distance: distances per path.
        candidates: how many random samples of the pool to rank; all of them by default.
        seed: draws the candidates.

    Raises:
        ValueError: if there are no models for `far`, the candidates are too few or too many, a path's start depends on
            the others' ends, or no field is alive.
    """
    far, near = offered.models.get("far", ()), offered.models.get("near", ())
    if not far:
        raise ValueError("this choice of samples asks independent models; the method's roles must name some for `far`")
    pool = offered.samples
    count = len(pool.inputs) if candidates is None else candidates
    refuse_candidates(offered.budget, count, pool_size(offered))
    drawn = torch.randperm(len(pool.inputs), generator=seeded(seed))[:count]
    ends, labels = pick(pool, drawn)
    ranked = Paths(start(ends, pool.inputs), ends, labels)
    # The same of all candidates and of one alone: not all of those that are ranked are shown.
    if not torch.equal(ranked.starts[:1], Paths(start(ends[:1], pool.inputs), ends[:1]).starts):
        raise ValueError(
            "a path's start depends on where the others end, so that other paths would be shown than are ranked; "
            "take a start of its own, such as method.queries.start._target_=experiments.queries.starts.mean_colour"
        )
    owned = source(offered)

    def gaps(paths: Paths) -> Tensor:
        field = represent(owned, paths)

        def mean_distance(models: Sequence[ZooModel]) -> Tensor:
            return torch.stack([distance(field, represent(model.load(), paths)) for model in models]).nanmean(0)

        gap = mean_distance(far) - (mean_distance(near) if near else 0)
        return gap.nan_to_num(-torch.inf).cpu()  # dead paths rank last

    rank = torch.cat([gaps(part) for part in ranked.split(64)])
    if rank.isinf().all():
        raise ValueError(
            "no sample can be ranked: the source, or all models for `far` or for `near`, do not depend on their input"
        )
    return pick(pool, drawn[rank.argsort(descending=True)[: offered.budget]])
