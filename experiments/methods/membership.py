"""Membership inference: whether a model's answers betray that it was trained on the images to be forgotten.

Attacks on a whole pool give one number. The likelihood ratio (LiRA) gives one for each image and is stronger: averages
over a pool hide the few images that a model remembers (Hayes et al., 2024).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.distributions import Categorical, Normal
from torch.nn.functional import cross_entropy

from experiments import queries
from experiments.forgetting import Pools, log_odds
from experiments.interfaces import Testbed


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


def entropy_attack(model: nn.Module, pools: Pools) -> Float[Tensor, ""]:
    """Share of the forgotten images that an attacker takes for training images: 0 to 1; compare with a retrained model.

    The attack of Chundawat et al. (AAAI 2023) and Foster et al. (AAAI 2024): logistic regression on the predictions'
    entropy, retained images against unseen ones like them. Their program lets the larger pool outweigh the other and
    penalises the raw entropy, whose unit then matters; here both weigh the same and the entropy is standardised.
    """
    members, strangers, forgotten = (
        Categorical(logits=queries.answers(model, pools, pool)[0]).entropy()[:, None]
        for pool in ("retain", "retain_unseen", "forget")
    )
    attacker = _attacker().fit(*_against(members, strangers))
    return torch.from_numpy(attacker.predict(forgotten.numpy())).double().mean()


def loss_attack(
    model: nn.Module, pools: Pools, *, seed: int, folds: int = 5, largest: float = 400.0
) -> Float[Tensor, ""]:
    """How well losses part forgotten images from unseen ones of the same class: 0.5 (not at all, the ideal) to 1.

    The attack of SCRUB (Kurmanji et al., NeurIPS 2023): logistic regression on the cross-entropy, clipped at `largest`
    as theirs; the value is its cross-validated accuracy, balanced here because the pools differ in size. By chance it
    falls a little below 0.5 as well. `seed` deals the images into folds.

    Raises:
        ValueError: if one of the pools has fewer images than folds.
    """
    forgotten, unseen = (
        cross_entropy(*queries.answers(model, pools, pool), reduction="none").clamp(max=largest)[:, None]
        for pool in ("forget", "forget_unseen")
    )
    if min(len(forgotten), len(unseen)) < folds or folds < 2:
        found = f"{len(forgotten)} forgotten and {len(unseen)} unseen images"
        raise ValueError(
            f"cross-validation needs 2 folds or more and as many images of each pool, not {folds} of {found}"
        )
    dealt = StratifiedKFold(folds, shuffle=True, random_state=seed)
    scores = cross_val_score(_attacker(), *_against(forgotten, unseen), scoring="balanced_accuracy", cv=dealt)
    return torch.tensor(scores.mean(), dtype=torch.float64)


def confidence(model: nn.Module, pools: Pools, *, pool: str) -> Float[Tensor, " images"]:
    """Log-odds log(p / (1 - p)) of the true class for each image of a pool: any number, 0 if p is one half.

    Carlini et al. (2022) scale confidence so because it is nearly Gaussian over models. It comes from the logits, true
    one minus the others' log-sum-exp, and so stays finite where p rounds to 0 or 1; nothing is clipped.

    Raises:
        ValueError: if there is no such pool, or the model is no classifier of its classes.
    """
    return log_odds(*queries.answers(model, pools, pool))


def with_shadows(
    testbed: Testbed, *, pool: str, out_roles: Sequence[str], in_roles: Sequence[str], shared: bool = True
) -> Shadows:
    """A pool of images and how confident models with and without them are, for `likelihood_ratio`.

    Args:
        testbed: has the pools and, among its models, the shadows.
        pool: the images to ask about.
        out_roles: roles of models that were trained without them.
        in_roles: roles of models that were trained on them, or trained and made to forget them.
        shared: pool the variance over images, apart for the two kinds of models: what Carlini et al. (2022) advise for
            few shadows. Otherwise each image has its own.

    Raises:
        ValueError: if the testbed has no pools or scores one of the roles, or a kind has fewer than two models.
    """
    cut = queries.pools(testbed)
    scored = sorted({*out_roles, *in_roles} & testbed.tested_roles)
    if scored:
        tested = ", ".join(sorted(testbed.tested_roles))
        raise ValueError(f"roles {scored} are scored by this testbed (it scores {tested}) and cannot be shadows")
    inside, outside = (_fitted(testbed, cut, pool, list(roles), shared) for roles in (in_roles, out_roles))
    return Shadows(cut, pool, inside, outside)


def likelihood_ratio(model: nn.Module, shadows: Shadows) -> Float[Tensor, " images"]:
    """Log-likelihood ratio of each image's confidence, seen against unseen: positive where the model seems to know it.

    LiRA (Carlini et al., S&P 2022, arXiv 2112.03570) if the inside shadows are models trained on the images; U-LiRA
    (Hayes et al., 2024, arXiv 2403.01218) if they are models made to forget them by the method under test. Both use
    dozens of shadows; with a few the ratio ranks images, but its size means little.
    """
    found = confidence(model, shadows.pools, pool=shadows.pool)
    return shadows.inside.log_prob(found) - shadows.outside.log_prob(found)


def _fitted(testbed: Testbed, pools: Pools, pool: str, roles: list[str], shared: bool) -> Normal:
    """A Gaussian for each image over the confidences of all models with such a role."""
    models = [model for model in testbed.zoo.values() if model.role in roles]
    if len(models) < 2:
        known = ", ".join(sorted({model.role for model in testbed.zoo.values()}))
        raise ValueError(f"a Gaussian needs two shadow models, roles {roles} have {len(models)}; the zoo has {known}")
    found = torch.stack([confidence(model.load(), pools, pool=pool) for model in models])
    variance = found.var(0)
    if shared:
        variance = variance.mean().expand_as(variance)
    # Shadows that agree to the last digit would make every other model infinitely unlikely.
    return Normal(found.mean(0), variance.sqrt().clamp(min=1e-3))


def _attacker() -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced"))


def _against(members: Tensor, strangers: Tensor) -> tuple:
    """Both sets (n, 1) as one, and whether each row is a member."""
    truth = torch.cat([torch.ones(len(members)), torch.zeros(len(strangers))])
    return torch.cat([members, strangers]).numpy(), truth.numpy()
