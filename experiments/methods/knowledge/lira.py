"""Likelihood-ratio membership inference (LiRA): one number for each image, by models with and without them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Normal

from experiments.interfaces import Offered, Pools, ZooModel
from experiments.methods.knowledge.answers import answers
from experiments.networks.forward import log_odds
from experiments.queries.pools import pools

Confidences = Float[Tensor, "models images"]
Fit = Callable[[Confidences, Confidences], tuple[Normal, Normal]]
"""Confidences of models with and without the images -> a Gaussian for each image, for both kinds."""
LEAST = 1e-3
"""Of a deviation: shadows that agree to the last digit would make every other model infinitely unlikely."""


@dataclass(frozen=True)
class Shadows:
    """How confident shadow models are about each image of a pool."""

    pools: Pools
    pool: str
    """Which images of those."""
    inside: Normal
    """Log-odds of the true class (images,) by models that were trained on them."""
    outside: Normal
    """The same by models that never saw them."""


def confidence(model: nn.Module, pools: Pools, *, pool: str) -> Float[Tensor, " images"]:
    """Log-odds log(p / (1 - p)) of the true class for each image of a pool: any number, 0 if p is one half.

    Carlini et al. (2022) scale confidence so because it is nearly Gaussian over models. It comes from the logits, true
    one minus the others' log-sum-exp, and so stays finite where p rounds to 0 or 1; their
    program takes the logarithms of p and of the sum of the others, 1e-45 added to each.

    Raises:
        ValueError: if there is no such pool, or the model is no classifier of its classes.
    """
    return log_odds(*answers(model, pools, pool))


def medians(inside: Confidences, outside: Confidences) -> tuple[Normal, Normal]:
    """LiRA's fit with a fixed variance, as Carlini et al. (2022) programmed it for few shadows.

    Each kind's median over its models, image by image, and one deviation for both kinds: that of all inside
    confidences, over models and images together, by which images count as noise as well.
    """
    deviation = inside.std(correction=0).clamp(min=LEAST).expand_as(inside[0])
    return Normal(inside.quantile(0.5, dim=0), deviation), Normal(outside.quantile(0.5, dim=0), deviation)


def pooled_variance(inside: Confidences, outside: Confidences) -> tuple[Normal, Normal]:
    """Ours: each kind's mean over its models, and its variance over models alone, pooled over images."""
    one, other = (_means(found, found.var(0).mean().expand_as(found[0])) for found in (inside, outside))
    return one, other


def own_variance(inside: Confidences, outside: Confidences) -> tuple[Normal, Normal]:
    """Each kind's mean and variance, image by image, as with dozens of shadows (Hayes et al., 2024)."""
    return _means(inside, inside.var(0)), _means(outside, outside.var(0))


def with_shadows(offered: Offered, *, pool: str, fit: Fit) -> Shadows:
    """A pool of images and how confident models with and without them are, for `likelihood_ratio`.

    Args:
        offered: gives the pools and the shadows: models for `outside`, which were trained without the images, and for
            `inside`, which were trained on them, or trained and made to forget them.
        pool: the images to ask about: `forget`, the only ones that models inside have seen and models outside have not.
        fit: `medians`, as published for few shadows, `pooled_variance` or `own_variance`.

    Raises:
        ValueError: if there are no pools, the pool is another one, or a kind has fewer than two models.
    """
    if pool != "forget":
        raise ValueError(
            f"pool must be forget, not {pool!r}, whose images both kinds of shadows have seen, or neither: nothing "
            "there tells a model that knows them from one that does not"
        )
    cut = pools(offered)
    inside, outside = (_asked(offered.models.get(kind, ()), kind, cut, pool) for kind in ("inside", "outside"))
    return Shadows(cut, pool, *fit(inside, outside))


def likelihood_ratio(model: nn.Module, shadows: Shadows) -> Float[Tensor, " images"]:
    """Log-likelihood ratio of each image's confidence, seen against unseen: positive where the model seems to know it.

    LiRA (Carlini et al., S&P 2022, arXiv 2112.03570) if the inside shadows are models trained on the images, and the
    fit is `medians`; U-LiRA (Hayes et al., 2024, arXiv 2403.01218) if they are models made to forget them by the method
    under test. Both use dozens of shadows; with a few the ratio ranks images, but its size means little.
    """
    found = confidence(model, shadows.pools, pool=shadows.pool)
    return shadows.inside.log_prob(found) - shadows.outside.log_prob(found)


def _asked(models: Sequence[ZooModel], kind: str, pools: Pools, pool: str) -> Confidences:
    if len(models) < 2:
        raise ValueError(
            f"a Gaussian needs two shadow models, not {len(models)}: name more roles for {kind!r} in the method's roles"
        )
    return torch.stack([confidence(model.load(), pools, pool=pool) for model in models])


def _means(found: Confidences, variance: Float[Tensor, " images"]) -> Normal:
    return Normal(found.mean(0), variance.sqrt().clamp(min=LEAST))
