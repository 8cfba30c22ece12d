"""Readouts: which outputs a field follows.

A readout maps the model's output at the path's end (and the path's label, if it has one) to weights of the output's
shape. The followed scalar is the weighted sum of outputs; the weights stay fixed along the whole path.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import one_hot

Readout = Callable[[Tensor, Tensor | None], Tensor]


def predicted_class(output: Tensor, labels: Tensor | None = None) -> Tensor:
    """Follow the class (n, classes) that the model itself predicts at the path's end (the paper's IP protection)."""
    _needs_classes(output, "predicted_class")
    return one_hot(output.argmax(1), output.shape[1]).to(output)


def given_label(output: Tensor, labels: Tensor | None = None) -> Tensor:
    """Follow the path's own label in outputs (n, classes) (the paper's unlearning: the forgotten class).

    Raises:
        ValueError: if the paths carry no labels, or one that the model has no output for.
    """
    _needs_classes(output, "given_label")
    if labels is None:
        raise ValueError("given_label needs labelled paths: Paths(starts, ends, labels=...)")
    labels = labels.long()
    if labels.min() < 0 or labels.max() >= output.shape[1]:
        raise ValueError(f"labels run from {labels.min()} to {labels.max()}; the model has {output.shape[1]} outputs")
    return one_hot(labels, output.shape[1]).to(output)


def centred_label(output: Tensor, labels: Tensor | None = None) -> Tensor:
    """Follow the path's own label minus the mean of all outputs (n, classes).

    Blind to what all logits share, as softmax is: two models with the same probabilities have the same field.
    """
    return given_label(output, labels) - 1 / output.shape[1]


def label_odds(output: Tensor, labels: Tensor | None = None) -> Tensor:
    """Follow the path's own label minus the other outputs (n, classes), each as likely as at the path's end.

    The gradient of the label's log-odds log(p / (1 - p)) at the end: what decides whether the label is predicted there.
    Blind to what all logits share.

    Raises:
        ValueError: if there is one class only, which has no others; or as `given_label`.
    """
    own = given_label(output, labels)
    if output.shape[1] < 2:
        raise ValueError("label_odds needs at least 2 outputs, not 1: one class has no odds; take given_label")
    return own - output.masked_fill(own.bool(), -torch.inf).softmax(1)


def channel_peaks(output: Tensor, labels: Tensor | None = None) -> Tensor:
    """Follow, in every channel of (n, channels, *positions), the position of its largest activation.

    The paper's choice for dense encoders: the sum over channels of each channel's peak.
    """
    return top_peaks(output, labels, k=1)


def top_peaks(output: Tensor, labels: Tensor | None = None, *, k: int) -> Tensor:
    """Follow the k largest positions of every channel of (n, channels, *positions)."""
    if output.ndim < 2:
        raise ValueError(f"peaks are read from outputs (n, channels, *positions), not {tuple(output.shape)}")
    flat = output.reshape(*output.shape[:2], -1)
    if not 1 <= k <= flat.shape[2]:
        raise ValueError(f"k must lie between 1 and the {flat.shape[2]} positions of a channel, not {k}")
    return torch.zeros_like(flat).scatter_(2, flat.topk(k, dim=2).indices, 1).reshape(output.shape)


def every_output(output: Tensor, labels: Tensor | None = None) -> Tensor:
    """Follow the plain sum of all outputs."""
    return torch.ones_like(output)


def class_sum(output: Tensor, labels: Tensor | None = None) -> Tensor:
    """Follow one class summed over all positions of (n, classes, *positions): the label, else the largest sum."""
    totals = output.flatten(2).sum(2) if output.ndim > 2 else output
    chosen = predicted_class(totals) if labels is None else given_label(totals, labels)
    return chosen.reshape(*chosen.shape, *[1] * (output.ndim - 2)).expand_as(output).clone()


def _needs_classes(output: Tensor, name: str) -> None:
    if output.ndim != 2:
        raise ValueError(
            f"{name} reads outputs (n, classes), not {tuple(output.shape)}; for dense outputs take channel_peaks, "
            "class_sum or every_output"
        )
