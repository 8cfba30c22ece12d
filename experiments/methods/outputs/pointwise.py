"""Distances between outputs: what anyone with an API can compute, and so what a gradient method has to beat.

`agreement` on random samples is the floor; on samples that the victim gets wrong it is AKH (Godinot et al., "Queries,
Representation & Detection", AAAI 2025). The output comparisons mean something for equal label sets only.
"""

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial.distance import jensenshannon
from torch import Tensor, nn

from experiments.interfaces import NEEDS, Samples
from experiments.networks.forward import logits
from modelgif_core.distance import standardised_cosine
from modelgif_core.paths import widest


def outputs(model: nn.Module, samples: Samples) -> Float[Tensor, "samples classes"]:
    """The model's logits.

    Raises:
        ValueError: if the model is no classifier.
    """
    found = logits(model, samples.inputs)
    if found.ndim != 2:
        raise ValueError(
            f"labels and logits come from classifiers, whose outputs are (samples, classes), not {tuple(found.shape)}; "
            "for encoders take a method that compares features or fields"
        )
    return found


def hits(model: nn.Module, samples: Samples) -> Float[Tensor, " samples"]:
    """Whether the model answers each sample's label: 1 or 0; on triggers the mean is the watermark's accuracy.

    Raises:
        ValueError: if the model is no classifier, or the samples have no labels.
    """
    if samples.labels is None:
        raise ValueError(f"this method {NEEDS['labels']}")
    found = outputs(model, samples).argmax(1)
    return (found == samples.labels.to(found.device)).float()


def agreement(a: Tensor, b: Tensor) -> Float[Tensor, " samples"]:
    """Whether the two predicted labels differ: 0 (same) or 1; the mean is the normalised Hamming distance."""
    return (a.argmax(1) != b.argmax(1)).float()


def logit_cosine(a: Tensor, b: Tensor) -> Float[Tensor, " samples"]:
    """One minus the cosine of centred logits: 0 to 2; blind to shifts that softmax does not see."""
    _same_classes(a, b)
    return standardised_cosine(a[:, None], b[:, None])


def jensen_shannon(a: Tensor, b: Tensor) -> Float[Tensor, " samples"]:
    """Jensen-Shannon divergence of the predicted distributions in nats: 0 to ln 2."""
    _same_classes(a, b)
    first, second = (found.cpu().double().softmax(1) for found in (a, b))
    with np.errstate(invalid="ignore"):  # of equal distributions rounding may leave a tiny negative number
        return torch.from_numpy(jensenshannon(first, second, axis=1) ** 2).nan_to_num(0)


def activation_distance(a: Tensor, b: Tensor) -> Float[Tensor, " samples"]:
    """Euclidean distance of the predicted distributions: 0 (same) to the root of 2.

    What Chundawat et al. (AAAI 2023) and Foster et al. (AAAI 2024) call activation distance, with one retrained model.
    """
    _same_classes(a, b)
    first, second = (found.to(widest(found.device)).softmax(1) for found in (a, b))
    return (first - second).norm(dim=1)


def _same_classes(a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape:
        raise ValueError(f"outputs of one shape are compared, not {tuple(a.shape)} with {tuple(b.shape)}")
