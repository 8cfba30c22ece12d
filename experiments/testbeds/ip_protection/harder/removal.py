"""Taking the victim's fingerprint out of a copy while its labels stay."""

import copy

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from experiments.networks.forward import predictions
from experiments.networks.heads import outputs_and_features, penultimate
from experiments.training.descent import divergence
from experiments.training.fit import fit


def remove(
    victim: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    seed: int,
    epochs: int = 30,
    rate: float = 3e-3,
    batch_size: int = 32,
    boundary: float = 0.2,
    latent: float = 2.0,
    label: float = 0.6,
    temperature: float = 20,
    mix: float = 0.5,
) -> nn.Module:
    """A copy that is driven from the victim's features and logits, and keeps its labels, after RemovalNet.

    Yao et al. ("RemovalNet: DNN Fingerprint Removal Attacks", 2023) weigh three losses: of logits, softened, to the
    victim's mixed with another image's; of features, to another image's; and of labels, to the victim's. The other
    image is the one of the batch whose features, or logits, are farthest from the image's own.

    Args:
        victim: is left alone.
        images: the attacker's.
        labels: are not asked; the victim's own labels are kept.
        seed: orders the batches, and so says which images meet.
        epochs: passes over the images.
        rate: peak learning rate.
        batch_size: images per step, two at least.
        boundary: weight of the divergence from mixed logits.
        latent: weight of the mean squared difference from the other image's features.
        label: weight of the cross-entropy on the victim's labels.
        temperature: of both logits.
        mix: share of the other image's logits, from 0 to 1.

    Raises:
        ValueError: if a batch has no second image, or the share is none.
    """
    if batch_size < 2:
        raise ValueError(
            f"removal takes what another image of the batch has: batch_size must be 2 or more: {batch_size}"
        )
    if not 0 <= mix <= 1:
        raise ValueError(f"mix must be a share of the other image's logits, from 0 to 1, not {mix}")
    known = torch.cat([predictions(victim, images), penultimate(victim, images)], 1)
    classes = predictions(victim, images[:1]).shape[1]

    def loss(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        logits, features = outputs_and_features(model, inputs)
        own, old = targets.split([classes, targets.shape[1] - classes], 1)
        return (
            boundary * divergence(logits, mixed(own, mix), temperature)
            + latent * mse_loss(features, old[farthest(old)])
            + label * cross_entropy(logits, own.argmax(1))
        )

    student = copy.deepcopy(victim).train()
    return fit(student, images, known, epochs=epochs, rate=rate, seed=seed, loss=loss, batch_size=batch_size)


def farthest(rows: Tensor) -> Tensor:
    """For each row (n, dims), which of the others is farthest from it: (n,).

    >>> farthest(torch.tensor([[0.0], [1.0], [5.0]])).tolist()
    [2, 2, 0]
    """
    return torch.cdist(rows, rows).argmax(1)


def mixed(logits: Tensor, share: float) -> Tensor:
    """Each row (n, classes) with so large a share of the farthest row; the largest logit stays the row's own label's.

    >>> mixed(torch.tensor([[4.0, 0.0, 0.0], [0.0, 0.0, 8.0]]), 0.5)
    tensor([[4., 0., 2.],
            [2., 0., 4.]])
    """
    found = (1 - share) * logits + share * logits[farthest(logits)]
    own, now = logits.argmax(1, keepdim=True), found.argmax(1, keepdim=True)
    return found.scatter(1, own, found.gather(1, now)).scatter(1, now, found.gather(1, own)) if share else found
