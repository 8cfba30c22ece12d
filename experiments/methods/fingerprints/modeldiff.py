"""ModelDiff (Li et al., "ModelDiff: Testing-Based DNN Similarity Comparison", ISSTA 2021): decision distance vectors.

How far an adversarial twin of each sample moves a model's outputs says how its boundary lies there, whatever the
classes are called. The published programs draw samples from the data of both models, and push the twins by a loss of
their own; here all see samples of the pool, and twins by projected gradient ascent on the change of all outputs.
All vectors are positive, so that every two models look related: the order counts.
"""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cosine_similarity

from experiments.interfaces import Offered, Samples
from experiments.queries.adversarial import pgd_samples
from experiments.queries.samples import random_samples
from modelgif_core.paths import widest
from modelgif_core.readout import Readout

STILL = 1e-9
"""Length of a vector that is rounding and nothing else."""


def twin_samples(
    offered: Offered, *, seed: int, epsilon: float, step: float, iterations: int, readout: Readout
) -> Samples:
    """Half a budget of random samples, then an adversarial twin of each, made on the source.

    Args:
        offered: gives pool, budget and source.
        seed: draws samples and where the twins start.
        epsilon: largest change of a pixel.
        step: of projected gradient ascent.
        iterations: of it.
        readout: which outputs should change.

    Raises:
        ValueError: if the budget is odd, or a setting out of range.
    """
    if offered.budget % 2:
        raise ValueError(f"samples and their twins take an even budget, not {offered.budget}")
    half = replace(offered, budget=offered.budget // 2)
    clean = random_samples(half, seed=seed)
    moved = pgd_samples(half, seed=seed, epsilon=epsilon, step=step, iterations=iterations, readout=readout)
    return Samples(torch.cat([clean.inputs, moved.inputs]))


def decision_distance(a: Tensor, b: Tensor) -> Float[Tensor, ""]:
    """One minus the cosine of two models' decision distance vectors: 0 (boundaries alike) to 1, both being positive.

    >>> one = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])  # the first twin changes sides
    >>> float(decision_distance(one, one)), float(decision_distance(one, one[[0, 1, 0, 3]] * 0.5 + 0.5))
    (0.0, 1.0)
    """
    one, other = decision_distances(a), decision_distances(b)
    still = [vector.norm() < STILL for vector in (one, other)]
    if any(still):  # a model whose outputs no twin moves is like another one of that kind only
        return one.new_tensor(float(not all(still)))
    return ((one / one.norm() - other / other.norm()).square().sum() / 2).clamp(max=1)


def decision_distances(outputs: Float[Tensor, "samples classes"]) -> Float[Tensor, " pairs"]:
    """Of each sample and its twin one minus the cosine of the probabilities: the decision distance vector."""
    pairs = len(outputs) // 2
    probabilities = outputs.to(widest(outputs.device)).softmax(1)
    return (1 - cosine_similarity(probabilities[:pairs], probabilities[pairs : 2 * pairs])).clamp(min=0)
