"""Samples with boxes of others pasted in (CutMix, Yun et al., ICCV 2019)."""

import torch
from torch import Tensor

from experiments.interfaces import Offered, Samples
from experiments.queries.samples import random_samples, seeded


def cutmix_samples(offered: Offered, *, seed: int, alpha: float = 1.0) -> Samples:
    """Random samples, each with a box of another one pasted in (CutMix, Yun et al., 2019).

    The kept share of the area is drawn from Beta(alpha, alpha); the labels are those of the images pasted into.
    """
    chosen = random_samples(offered, seed=seed)
    return chosen._replace(inputs=cutmix(chosen.inputs, alpha=alpha, generator=seeded(seed)))


def cutmix(images: Tensor, partners: Tensor | None = None, *, alpha: float = 1.0, generator: torch.Generator) -> Tensor:
    """Each image with a box of a randomly chosen partner pasted in; a box of its own for every image.

    (torchvision's CutMix draws a single box for the whole batch and mixes neighbours only.)
    """
    partners = images if partners is None else partners
    height, width = images.shape[2:]
    mixed = images.clone()
    for image in mixed:
        partner = partners[torch.randint(len(partners), (), generator=generator)]
        # Beta(a, a) as a ratio of gammas, because torch's own Beta takes no generator.
        a, b = torch._standard_gamma(torch.full((2,), alpha), generator=generator)
        side = (b / (a + b)).sqrt()
        top, left = (torch.rand(2, generator=generator) * torch.tensor([height, width])).int().tolist()
        half_height, half_width = int(side * height / 2), int(side * width / 2)
        rows = slice(max(0, top - half_height), top + half_height)
        columns = slice(max(0, left - half_width), left + half_width)
        image[:, rows, columns] = partner[:, rows, columns]
    return mixed
