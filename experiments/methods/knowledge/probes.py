"""What a model still knows of images that it should have forgotten, as one number: its answers, features, weights.

A value by itself proves nothing: a model retrained without the images does not reach zero or chance either, so the
numbers of two models are compared, by `gap`. The functions on answers are blind to what hides behind the head, those
on features to the head itself.
"""

import torch
from jaxtyping import Float
from sklearn.base import ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from experiments.interfaces import Pools, labels_of
from experiments.networks.heads import penultimate


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


def _probed(classifier: ClassifierMixin, model: nn.Module, pools: Pools) -> Float[Tensor, ""]:
    """Accuracy on unseen images like the forgotten ones of a classifier of features that saw all training images."""
    named = {name: getattr(pools, name) for name in ("retain", "forget", "forget_unseen")}
    features = {name: penultimate(model, samples.inputs).cpu() for name, samples in named.items()}
    labels = {name: labels_of(samples, name).cpu() for name, samples in named.items()}
    probe = make_pipeline(StandardScaler(), classifier)
    probe.fit(*(torch.cat([part["retain"], part["forget"]]).numpy() for part in (features, labels)))
    score = probe.score(features["forget_unseen"].numpy(), labels["forget_unseen"].numpy())
    return torch.tensor(score, dtype=torch.float64)
