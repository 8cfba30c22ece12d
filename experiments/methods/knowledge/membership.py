"""Membership inference: whether a model's answers betray that it was trained on the images to be forgotten.

Attacks on a whole pool give one number. The likelihood ratio (LiRA) gives one for each image and is stronger: averages
over a pool hide the few images that a model remembers (Hayes et al., 2024).
"""

import torch
from jaxtyping import Float
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.distributions import Categorical
from torch.nn.functional import cross_entropy

from experiments.interfaces import Pools
from experiments.methods.knowledge.answers import answers


def entropy_attack(model: nn.Module, pools: Pools) -> Float[Tensor, ""]:
    """Share of the forgotten images that an attacker takes for training images: 0 to 1; compare with a retrained model.

    After Chundawat et al. (AAAI 2023) and Foster et al. (AAAI 2024): a classifier of the predictions' entropy, retained
    images against unseen ones like them. Foster's program has this logistic regression, in which both pools weigh the
    same, on the raw entropy, whose unit then matters to the penalty; here it is standardised. Chundawat's has a support
    vector machine with radial kernels (C 3), and there the larger pool outweighs the other.
    """
    members, strangers, forgotten = (
        Categorical(logits=answers(model, pools, pool)[0]).entropy()[:, None]
        for pool in ("retain", "retain_unseen", "forget")
    )
    attacker = _attacker().fit(*_against(members, strangers))
    return torch.from_numpy(attacker.predict(forgotten.numpy())).double().mean()


def loss_attack(
    model: nn.Module, pools: Pools, *, seed: int, folds: int = 5, largest: float = 100.0
) -> Float[Tensor, ""]:
    """How well losses part forgotten images from unseen ones of the same class: 0.5 (not at all, the ideal) to 1.

    After SCRUB (Kurmanji et al., NeurIPS 2023): logistic regression on the cross-entropy, clipped at `largest` as in
    their published notebook. The value is its cross-validated accuracy: balanced, and over folds that hold each image
    once, where they cut the larger pool to the other's size and draw a tenth of all to judge on, five times; and of a
    standardised loss. By chance it falls a little below 0.5 as well. `seed` deals the images into folds.

    Raises:
        ValueError: if one of the pools has fewer images than folds.
    """
    forgotten, unseen = (
        cross_entropy(*answers(model, pools, pool), reduction="none").clamp(max=largest)[:, None]
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


def _attacker() -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced"))


def _against(members: Tensor, strangers: Tensor) -> tuple:
    """Both sets (n, 1) as one, and whether each row is a member."""
    truth = torch.cat([torch.ones(len(members)), torch.zeros(len(strangers))])
    return torch.cat([members, strangers]).numpy(), truth.numpy()
