"""Samples as they come back from a lossy file: SAC-JC's, which need neither partners nor labels.

The published ones are transposed, too, as SAC-m's are; that is no part of the idea and left out.
"""

import torch

from experiments.interfaces import Offered, Samples
from experiments.queries.samples import random_samples


def jpeg_samples(offered: Offered, *, seed: int, quality: int) -> Samples:
    """A budget of random samples, each compressed by JPEG and opened again; grey and coloured ones.

    Args:
        offered: gives pool and budget.
        seed: draws the samples.
        quality: of the files, 1 (worst) to 100.

    Raises:
        ValueError: if the quality is another one, or the samples have neither one nor three channels.
    """
    from torchvision.io import decode_jpeg, encode_jpeg  # only here: it takes seconds

    if not 1 <= quality <= 100:
        raise ValueError(f"quality must lie between 1 and 100, as JPEG's does, not {quality}")
    chosen = random_samples(offered, seed=seed)
    if chosen.inputs.ndim != 4 or chosen.inputs.shape[1] not in (1, 3):
        raise ValueError(f"JPEG takes grey or coloured images, not samples of shape {tuple(chosen.inputs.shape[1:])}")
    pixels = (chosen.inputs * 255).round().to(torch.uint8)
    opened = [decode_jpeg(encode_jpeg(image, quality=quality)) for image in pixels]
    return chosen._replace(inputs=torch.stack(opened).float() / 255)
