"""Likelihood-ratio membership inference (LiRA): one number for each image, by models with and without them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Normal

from experiments.interfaces import Offered, Pools, ZooModel
from experiments.methods.knowledge.answers import answers
from experiments.networks.forward import log_odds
from experiments.queries.pools import pools


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
    one minus the others' log-sum-exp, and so stays finite where p rounds to 0 or 1; nothing is clipped.

    Raises:
        ValueError: if there is no such pool, or the model is no classifier of its classes.
    """
    return log_odds(*answers(model, pools, pool))


def with_shadows(offered: Offered, *, pool: str, shared: bool = True) -> Shadows:
    """A pool of images and how confident models with and without them are, for `likelihood_ratio`.

    Args:
        offered: gives the pools and the shadows: models for `outside`, which were trained without the images, and for
            `inside`, which were trained on them, or trained and made to forget them.
        pool: the images to ask about.
        shared: pool the variance over images, apart for the two kinds of models: what Carlini et al. (2022) advise for
            few shadows. Otherwise each image has its own.

    Raises:
        ValueError: if there are no pools, or a kind has fewer than two models.
    """
    cut = pools(offered)
    inside, outside = (_fitted(offered.models.get(kind, ()), kind, cut, pool, shared) for kind in ("inside", "outside"))
    return Shadows(cut, pool, inside, outside)


def likelihood_ratio(model: nn.Module, shadows: Shadows) -> Float[Tensor, " images"]:
    """Log-likelihood ratio of each image's confidence, seen against unseen: positive where the model seems to know it.

    LiRA (Carlini et al., S&P 2022, arXiv 2112.03570) if the inside shadows are models trained on the images; U-LiRA
    (Hayes et al., 2024, arXiv 2403.01218) if they are models made to forget them by the method under test. Both use
    dozens of shadows; with a few the ratio ranks images, but its size means little.
    """
    found = confidence(model, shadows.pools, pool=shadows.pool)
    return shadows.inside.log_prob(found) - shadows.outside.log_prob(found)


def _fitted(models: Sequence[ZooModel], kind: str, pools: Pools, pool: str, shared: bool) -> Normal:
    """A Gaussian for each image over the confidences of these models."""
    if len(models) < 2:
        raise ValueError(
            f"a Gaussian needs two shadow models, not {len(models)}: name more roles for {kind!r} in the method's roles"
        )
    found = torch.stack([confidence(model.load(), pools, pool=pool) for model in models])
    variance = found.var(0)
    if shared:
        variance = variance.mean().expand_as(variance)
    # Shadows that agree to the last digit would make every other model infinitely unlikely.
    return Normal(found.mean(0), variance.sqrt().clamp(min=1e-3))
