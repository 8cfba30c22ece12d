"""The triggers of a watermark: what its owner shows to a suspect (EWE, Jia et al., USENIX Security 2021)."""

import torch

from experiments.interfaces import NEEDS, Offered, Samples
from experiments.queries.samples import pick, pool_size, seeded


def trigger_samples(offered: Offered, *, seed: int) -> Samples:
    """A budget of triggers made of the pool, in random order, labelled as a model with the watermark answers.

    Each is made of an image of the pool, by the image alone; no model is asked, and none has seen it.

    Raises:
        ValueError: if there is no watermark, or the pool has fewer images of its source class than the budget.
    """
    pool_size(offered)
    if offered.triggers is None:
        raise ValueError(f"this choice of samples {NEEDS['watermark']}")
    made = offered.triggers(offered.samples)
    if len(made.inputs) < offered.budget:
        raise ValueError(
            f"the pool has {len(made.inputs)} images that the watermark's triggers are made of, fewer than the "
            f"{offered.budget} of testbed.budget; take a smaller budget or a larger pool"
        )
    return pick(made, torch.randperm(len(made.inputs), generator=seeded(seed))[: offered.budget])
