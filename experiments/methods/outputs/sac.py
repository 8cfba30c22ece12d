"""SAC-m (Guan et al., "Are You Stealing My Model? Sample Correlation for Fingerprinting", NeurIPS 2022).

Compares how a model's outputs on the samples relate to each other, so label sets may differ. The published code's
CutMix is milder than its name: one small box for the whole batch, kept only near a corner, images transposed. It takes
the first 100 test images; here they are drawn, and as many as every method may show.
"""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from experiments.interfaces import Offered, Samples
from experiments.queries.samples import random_samples


def corner_cutmix_samples(offered: Offered, *, seed: int, side: float = 0.2, transpose: bool = True) -> Samples:
    """A budget of random samples with one corner box of a permuted batch pasted in.

    Args:
        offered: gives pool and budget.
        seed: draws samples, permutation and box.
        side: side of the box as a share of the image's, but for images so small that it would vanish.
        transpose: swap rows and columns, as the published file of samples does.

    Raises:
        ValueError: if the side is no share of the image's.
    """
    if not 0 < side <= 1:
        raise ValueError(f"side must be a share of the image's, above 0 and at most 1, not {side}")
    images = random_samples(offered, seed=seed).inputs.clone()
    generator = torch.Generator().manual_seed(seed)
    spans = []
    for size in images.shape[2:]:
        # The published code redraws the centre until both coordinates lie in the outer sixth.
        edge = int(torch.randint(2, (), generator=generator)) * 5 / 6
        centre = int((edge + float(torch.rand((), generator=generator)) / 6) * size)
        half = max(1, int(side * size / 2))  # small images have a box, too
        spans.append(slice(max(0, centre - half), min(size, centre + half)))
    rows, columns = spans
    partners = images[torch.randperm(len(images), generator=generator)]
    images[:, :, rows, columns] = partners[:, :, rows, columns]
    return Samples(images.transpose(2, 3).contiguous() if transpose else images)


def sample_correlation(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference of the two models' cosine matrices between samples, halved: 0 (same) to 1."""
    if len(a) != len(b):
        raise ValueError(f"outputs on the same samples are compared, not on {len(a)} and {len(b)}")
    if len(a) < 2:
        raise ValueError("a correlation between samples needs two or more, not 1; raise testbed.budget")
    return ((_cosines(a) - _cosines(b)) / 2).abs().mean()


def _cosines(outputs: Tensor) -> Tensor:
    unit = normalize(outputs, dim=1)
    return unit @ unit.T
