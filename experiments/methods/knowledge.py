"""What a model still knows of images that it should have forgotten, as one number: its answers, features, weights.

A value by itself proves nothing: a model retrained without the images does not reach zero or chance either, so the
numbers of two models are compared, by `gap`. The functions on answers are blind to what hides behind the head, those
on features to the head itself.
"""

import torch
from jaxtyping import Float
from scipy.stats import rankdata
from sklearn.base import ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from experiments.descent import batches, descend, sgd, trainable_copy
from experiments.forgetting import Pools, labels_of
from experiments.heads import penultimate
from experiments.interfaces import Samples
from experiments.queries import answers, logits


def gap(a: Tensor, b: Tensor) -> Tensor:
    """Absolute difference of two models' values, element by element: 0 (same) upwards, in their units."""
    return (a - b).abs()


def pool_accuracy(model: nn.Module, pools: Pools, *, pool: str) -> Float[Tensor, ""]:
    """Share of a pool's images that the model classifies right: 0 to 1.

    Raises:
        ValueError: if there is no such pool, or the model is no classifier of its classes.
    """
    outputs, labels = answers(model, pools, pool)
    return (outputs.argmax(1) == labels).double().mean()


def class_rank(model: nn.Module, pools: Pools, *, pool: str) -> Float[Tensor, ""]:
    """Mean rank of the true class among all logits: 0 (always the largest) to 1 (always the smallest).

    The trivial control: suppressing one output satisfies it. Equal logits share their mean rank, so that a model whose
    logits are all equal has 0.5.

    Raises:
        ValueError: as `pool_accuracy`.
    """
    outputs, labels = answers(model, pools, pool)
    ranks = torch.from_numpy(rankdata(-outputs.numpy(), axis=1)) - 1
    return (ranks.gather(1, labels[:, None]) / (outputs.shape[1] - 1)).mean()


def linear_probe(model: nn.Module, pools: Pools, *, strength: float = 1.0) -> Float[Tensor, ""]:
    """Accuracy of a new linear head on unseen images like the forgotten ones: 0 to 1, high = the features still tell.

    Multinomial logistic regression on standardised penultimate features of all training images with their true labels,
    the forgotten ones included; every class weighs the same. Blind to the model's own head. Features learnt from other
    classes serve a forgotten one too, so that a retrained model lies far above chance. `strength` is the inverse weight
    of the L2 penalty.

    Raises:
        ValueError: if the model has no head to read in front of.
    """
    return _probed(LogisticRegression(C=strength, class_weight="balanced", max_iter=1000), model, pools)


def nearest_neighbours(model: nn.Module, pools: Pools, *, k: int = 5) -> Float[Tensor, ""]:
    """Accuracy of the k nearest training images' majority on unseen images like the forgotten ones: 0 to 1.

    Euclidean distances of the standardised features that `linear_probe` reads; high = the features still tell.

    Raises:
        ValueError: if k is not between 1 and the number of training images, or the model has no head.
    """
    known = len(pools.retain.inputs) + len(pools.forget.inputs)
    if not 1 <= k <= known:
        raise ValueError(f"k must lie between 1 and the {known} training images, not {k}")
    return _probed(KNeighborsClassifier(k), model, pools)


def relearn_time(
    model: nn.Module,
    pools: Pools,
    *,
    seed: int,
    rate: float = 0.01,
    cap: int = 100,
    samples: int = 500,
    until: float = 0.1,
) -> Float[Tensor, ""]:
    """Epochs of fine-tuning on forgotten images until their mean loss is low: 0 to `cap`, small = memory remains.

    Relearn time (Golatkar et al., 2020; Tarun et al., 2023) with a fixed loss to reach, because a model is judged
    alone: theirs is the original model's loss. SGD with momentum 0.9 and weight decay 5e-4, batches of 32, on a copy in
    eval mode: a batch of one class would ruin BatchNorm's statistics, and the time would measure their recovery.
    The head's bias alone can relearn a class that is shown by itself, so that small networks need an epoch or two
    whatever they remember; a lower rate tells them apart.

    Args:
        model: a classifier.
        pools: gives the images to relearn.
        seed: draws and orders the images.
        rate: of SGD.
        cap: the most epochs; a model that needs more has this value.
        samples: how many forgotten images to relearn, or all if they are fewer.
        until: mean cross-entropy in nats at which they count as known.

    Raises:
        ValueError: if cap or samples is below 1, until is not positive, or the loss diverges.
    """
    if cap < 1 or samples < 1 or until <= 0:
        raise ValueError(f"cap and samples must be at least 1 and until above 0, not {cap}, {samples} and {until}")
    student, generator = trainable_copy(model).eval(), torch.Generator().manual_seed(seed)
    device = next(student.parameters()).device
    inputs, labels = pools.forget.inputs, labels_of(pools.forget, "forget")
    chosen = torch.randperm(len(inputs), generator=generator)[:samples].to(inputs.device)
    lesson = Samples(inputs[chosen].to(device), labels[chosen].to(device))
    optimiser = sgd(student, rate)
    for epoch in range(cap):
        if cross_entropy(logits(student, lesson.inputs), labels[chosen].cpu()) <= until:
            return torch.tensor(float(epoch))
        losses = (cross_entropy(student(inputs), labels) for inputs, labels in batches(lesson, generator))
        descend(student, losses, optimiser, seed=seed)
    return torch.tensor(float(cap))


def _probed(classifier: ClassifierMixin, model: nn.Module, pools: Pools) -> Float[Tensor, ""]:
    """Accuracy on unseen images like the forgotten ones of a classifier of features that saw all training images."""
    named = {name: getattr(pools, name) for name in ("retain", "forget", "forget_unseen")}
    features = {name: penultimate(model, samples.inputs).cpu() for name, samples in named.items()}
    labels = {name: labels_of(samples, name).cpu() for name, samples in named.items()}
    probe = make_pipeline(StandardScaler(), classifier)
    probe.fit(*(torch.cat([part["retain"], part["forget"]]).numpy() for part in (features, labels)))
    score = probe.score(features["forget_unseen"].numpy(), labels["forget_unseen"].numpy())
    return torch.tensor(score, dtype=torch.float64)
