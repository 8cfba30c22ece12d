"""Zest (Jia et al., "A Zest of LIME", ICLR 2022): how a model's outputs depend on which parts of an image are shown.

Each image is cut into superpixels that are switched on and off at random; a linear regression of the outputs on the
switches is the model's signature there. What differs from the authors' program: SLIC cuts the images, because
quickshift leaves few superpixels of small ones; masked images weigh by LIME's kernel, where theirs weigh the same
(`width=null` does that); label sets must agree, where theirs are matched greedily, which lets a model with permuted
labels pass; and the cosine is taken for each image, not over all of them at once.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from skimage.segmentation import slic
from sklearn.linear_model import Ridge
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from experiments.interfaces import Offered
from experiments.networks.forward import logits
from experiments.queries.samples import random_samples, refuse_none
from experiments.queries.starts import Start, mean_colour
from modelgif_core.distance import cosine


@dataclass(frozen=True)
class Switched:
    """Images whose superpixels can be switched off, the same way for every model."""

    inputs: Float[Tensor, "samples channels height width"]
    superpixels: Int[Tensor, "samples height width"]
    """Numbers from 0 within each image."""
    masks: list[Bool[Tensor, "masks superpixels"]]
    """For each image, which superpixels stay on."""
    fill: Tensor
    """What the others show; broadcasts to images."""


def switched_samples(
    offered: Offered,
    *,
    seed: int,
    masks: int = 1000,
    superpixels: int = 20,
    compactness: float = 0.2,
    fill: Start = mean_colour,
) -> Switched:
    """A budget of random samples, cut into superpixels, and random masks for each.

    Args:
        offered: gives pool and budget.
        seed: draws samples and masks; each superpixel is on in half of the masks.
        masks: per sample; 1,000 in the paper.
        superpixels: about how many to a sample.
        compactness: SLIC's weight of nearness in space against nearness in colour, grey or RGB in [0, 1]. At 0.1 noisy
            images end up in a few large superpixels, at 1 all images in squares.
        fill: what a superpixel that is off shows, by default the pool's mean colour: zero after the usual
            normalisation, as in the authors' program.

    Raises:
        ValueError: if a sample has more superpixels than masks, so that a regression would be undetermined.
    """
    inputs = random_samples(offered, seed=seed).inputs
    cut = torch.stack([_superpixels(image, superpixels, compactness) for image in inputs])
    counts = (cut.flatten(1).max(1).values + 1).tolist()
    if masks < max(counts):
        raise ValueError(f"{max(counts)} superpixels need at least as many masks, not {masks}; raise masks")
    generator = torch.Generator().manual_seed(seed)
    drawn = [torch.rand(masks, count, generator=generator) < 0.5 for count in counts]
    return Switched(inputs, cut, drawn, fill(inputs, offered.samples.inputs))


def signature(
    model: nn.Module, switched: Switched, *, width: float | None = 0.25, ridge: float = 1e-3
) -> Float[Tensor, "samples superpixels classes"]:
    """Weights of a linear regression, without intercept, of each logit on which superpixels are on.

    Samples with fewer superpixels than others end in zeros. Masks times samples go through the model, one sample's
    masks at a time.

    Args:
        model: a classifier.
        switched: samples and masks.
        width: of LIME's kernel exp(-d^2 / width^2) ^ 1/2 on masks, where d = 1 - root of the share that is on; every
            mask weighs the same if None.
        ridge: penalty, in masks; keeps superpixels that are always on and off together apart.

    Raises:
        ValueError: if the model is no classifier, or the kernel has no width.
    """
    if width is not None:
        refuse_none(width=width)
    weights = []
    for image, superpixels, masks in zip(switched.inputs, switched.superpixels, switched.masks, strict=True):
        outputs = logits(model, image.where(masks[:, superpixels][:, None], switched.fill)).cpu()
        if outputs.ndim != 2:
            shape = tuple(outputs.shape)
            raise ValueError(f"signatures come from classifiers, whose outputs are (samples, classes), not {shape}")
        kernel = None if width is None else _kernel(masks, width).numpy()
        regression = Ridge(alpha=ridge, fit_intercept=False)
        regression.fit(masks.double().numpy(), outputs.double().numpy(), sample_weight=kernel)
        weights.append(torch.from_numpy(regression.coef_.T))
    return pad_sequence(weights, batch_first=True)


def signature_cosine(a: Tensor, b: Tensor) -> Float[Tensor, " samples"]:
    """One minus the cosine of two signatures, per sample: 0 (same) to 2; NaN where one of them vanishes.

    Raises:
        ValueError: if the models have different numbers of classes.
    """
    if a.shape != b.shape:
        raise ValueError(f"signatures of one shape are compared, not {tuple(a.shape)} with {tuple(b.shape)}")
    return cosine(a.flatten(1)[:, None], b.flatten(1)[:, None])


def _superpixels(image: Tensor, count: int, compactness: float) -> Tensor:
    """Number of each pixel's superpixel (height, width), from 0."""
    cut = slic(image.numpy(), count, compactness, channel_axis=0, convert2lab=False, start_label=0)
    return torch.from_numpy(cut)


def _kernel(masks: Tensor, width: float) -> Tensor:
    """LIME's weight of each mask: 1 if all superpixels are on."""
    distance = 1 - masks.double().mean(1).sqrt()
    return (-(distance**2) / width**2 / 2).exp()
