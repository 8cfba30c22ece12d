"""FBI (Maho, Furon and Le Merrer, "Fingerprinting Classifiers with Benign Inputs", TIFS 2023): labels as two variables.

How much one model's labels tell of the other's, whatever the labels are called, so that label sets may differ. Where
a model gives its k most likely classes, the variable is the true class's place among them.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import one_hot

from experiments.interfaces import NEEDS, Samples
from experiments.methods.outputs.pointwise import outputs


def places(model: nn.Module, samples: Samples, *, top: int) -> Int[Tensor, "samples places"]:
    """Of each sample the true class's place among the model's most likely ones, 0 if it is none of them; as one-hot.

    Args:
        model: a classifier.
        samples: with labels.
        top: how many classes the model gives.

    Raises:
        ValueError: if the samples have no labels, or the model has not so many classes.
    """
    if samples.labels is None:
        raise ValueError(f"this representation {NEEDS['labels']}")
    found = outputs(model, samples)
    if not 1 <= top <= found.shape[1]:
        raise ValueError(f"top must lie between 1 and the {found.shape[1]} classes, not {top}")
    hits = found.topk(top, dim=1).indices == samples.labels.to(found.device)[:, None]
    return one_hot(torch.where(hits.any(1), hits.int().argmax(1) + 1, 0), top + 1)


def label_information(a: Tensor, b: Tensor) -> Float[Tensor, ""]:
    """One minus the labels' mutual information over the smaller entropy: 0 (one tells the other) to 1 (independent).

    Estimated by frequencies, so that few samples make any two models look related: say the number of samples beside it.
    Where a model answers the same to all its entropy is zero: that tells nothing of a model that does not (1), and all
    of one that does so, too (0).

    >>> labels = torch.eye(3)[[0, 0, 1, 1, 2, 2]]
    >>> float(label_information(labels, labels.roll(1, dims=1)))  # another numbering of the classes
    0.0
    """
    from sklearn.metrics import mutual_info_score  # only here: it takes a second, and most methods do without

    if len(a) != len(b):
        raise ValueError(f"labels of the same samples are compared, not {len(a)} with {len(b)}")
    if len(a) < 2:
        raise ValueError("the label of one sample tells nothing of another's; raise testbed.budget")
    first, second = (outputs.argmax(1).cpu().numpy() for outputs in (a, b))
    entropies = [float(mutual_info_score(labels, labels)) for labels in (first, second)]
    if min(entropies) < 1e-12:
        return torch.tensor(float(max(entropies) > 1e-12))
    told = float(mutual_info_score(first, second)) / min(entropies)
    return torch.tensor(min(1.0, max(0.0, 1 - told)))
