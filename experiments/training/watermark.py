"""EWE: entangled watermarks (Jia et al., "Entangled Watermarks as a Defense against Model Extraction", USENIX Security
2021).

An owner teaches its model to answer one class to triggers, which are images of another class with a patch, and makes
the triggers' features hard to tell from those of genuine images of the answered class: who copies what the model
answers to the one is to copy what it answers to the other. Simpler than published, for small networks and few images:

- The patch is a white square in one place, not where a gradient says, so that a trigger is a function of an image. Who
  verifies shows such triggers, made of images that no model has seen; the paper shows those that the model has learnt.
- Triggers are moved by signs of one gradient of both losses, where the paper takes the losses in turn. They are learnt
  as they are, too, because a small network otherwise learns how they were moved, and not the square; no steps leave
  them where they are.
- Entangled are the features that the head reads, by cosines at one fixed temperature; the paper takes three depths and
  learns their temperatures.
- Triggers and genuine images of the answered class join every batch of the second training; in the paper they are
  batches of their own, after every few others.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from experiments.interfaces import NEEDS, Samples
from experiments.networks.heads import outputs_and_features
from experiments.training.fit import AfterEpoch, fit, forget_epoch


def triggers(samples: Samples, *, source: int, target: int, row: int, column: int, side: int) -> Samples:
    """All images of the source class, each with a white square, labelled as the target class; the same ones each time.

    Args:
        samples: images (n, channels, height, width) in [0, 1] with labels.
        source: class of the images.
        target: what a model with the watermark answers to them.
        row: of the square's first pixel, from above.
        column: of the same, from the left.
        side: of the square, in pixels.

    Raises:
        ValueError: if there are no labels or no images of the source class, the classes are one, or the square does not
            lie inside the images.

    >>> found = triggers(
    ...     Samples(torch.zeros(2, 1, 2, 2), torch.tensor([8, 3])), source=8, target=0, row=0, column=1, side=1
    ... )
    >>> found.inputs.tolist(), found.labels.tolist()
    ([[[[0.0, 1.0], [0.0, 0.0]]]], [0])
    """
    if samples.labels is None:
        raise ValueError(f"a watermark {NEEDS['labels']}")
    if source == target:
        raise ValueError(f"source and target of a watermark must be two classes, not both {source}")
    height, width = samples.inputs.shape[2:]
    if side < 1 or not (0 <= row <= height - side and 0 <= column <= width - side):
        raise ValueError(
            f"a square of {side} pixels at row {row}, column {column} does not lie inside images of {height} x "
            f"{width}; change the watermark's side, row or column"
        )
    own = samples.inputs[samples.labels == source].clone()
    if not len(own):
        has = ", ".join(map(str, samples.labels.unique().tolist())) or "none"
        raise ValueError(f"triggers are made of images of class {source}, and there are none; the classes are {has}")
    own[:, :, row : row + side, column : column + side] = 1
    return Samples(own, torch.full((len(own),), target, device=own.device))


def soft_nearest_neighbours(
    features: Float[Tensor, "samples dims"], groups: Int[Tensor, " samples"], *, temperature: float
) -> Float[Tensor, ""]:
    """Soft nearest neighbour loss (Frosst, Papernot and Hinton, ICML 2019) by cosines; the larger, the more entangled.

    Mean of -log of a sample's weight on its own group among all others, a weight being exp(-(1 - cosine) /
    temperature): 0 where each group is far from the others, log(others / others of its own) where all are equal.

    Args:
        features: of all samples.
        groups: which samples belong together; at least two each.
        temperature: how soft.

    Raises:
        ValueError: if a sample is alone in its group, or the temperature is not above 0.
    """
    if temperature <= 0:
        raise ValueError(f"temperature must be above 0, not {temperature}")
    if int(groups.unique(return_counts=True)[1].min()) < 2:
        raise ValueError("each sample needs another one of its group; take more triggers or genuine images")
    directions = normalize(features, dim=1)
    itself = torch.eye(len(features), dtype=torch.bool, device=features.device)
    scores = ((directions @ directions.T - 1) / temperature).masked_fill(itself, -torch.inf)
    own = scores.masked_fill(groups[:, None] != groups, -torch.inf)
    return (scores.logsumexp(1) - own.logsumexp(1)).mean()


def moved(
    model: nn.Module,
    marked: Samples,
    genuine: Tensor,
    *,
    strength: float,
    temperature: float,
    steps: int,
    step: float,
) -> Float[Tensor, "triggers channels height width"]:
    """The triggers after so many steps in [0, 1] towards their labels and towards being entangled with genuine images.

    Each pixel goes by `step` along the sign of minus the gradient of cross-entropy - strength x
    `soft_nearest_neighbours`, of the model in eval mode.
    """
    inputs, labels = marked
    assert labels is not None
    groups = torch.arange(len(inputs) + len(genuine), device=inputs.device).ge(len(inputs)).long()
    model.eval()
    for _ in range(steps):
        leaf = inputs.clone().requires_grad_()
        outputs, features = outputs_and_features(model, torch.cat([leaf, genuine]))
        near = soft_nearest_neighbours(features, groups, temperature=temperature)
        loss = cross_entropy(outputs[: len(inputs)], labels) - strength * near
        inputs = (inputs - step * torch.autograd.grad(loss, leaf)[0].sign()).clamp(0, 1)
    return inputs


def entangled(
    model: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    *,
    train: Callable[..., nn.Module],
    triggers: Callable[[Samples], Samples],
    epochs: int,
    rate: float,
    joined: int,
    strength: float,
    temperature: float,
    steps: int,
    step: float,
    seed: int,
    state: Path | None = None,
    after_epoch: AfterEpoch | None = None,
) -> nn.Module:
    """Train in place, then go on with triggers until the watermark is in; returns the model in eval mode.

    The loss of the second training is cross-entropy of all images, triggers among them, minus strength x
    `soft_nearest_neighbours` of triggers and genuine images of the class that they are labelled as.

    Args:
        model: a classifier with a head.
        inputs: images (samples, channels, height, width) in [0, 1].
        targets: their labels.
        train: (model, images, labels, seed, state) -> the model, trained without a watermark.
        triggers: images and labels -> triggers, all labelled as one class.
        epochs: of the second training.
        rate: its peak learning rate.
        joined: how many triggers, and as many genuine images, join each of its batches.
        strength: of entanglement, which the paper calls kappa.
        temperature: of the same.
        steps: by which triggers are moved in between.
        step: how far each pixel goes in each.
        seed: orders batches and draws who joins them.
        state: where the first training may keep its state; a second one that is killed begins with the first.
        after_epoch: is shown the model along the second training.

    Raises:
        ValueError: if a setting is out of range, or there are no images of either class.
    """
    given = {"joined": joined, "strength": strength, "steps": steps, "step": step}
    for (name, value), least in zip(given.items(), (2, 0, 0, 0), strict=True):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, not {value}")
    marked = triggers(Samples(inputs, targets))
    assert marked.labels is not None
    genuine = inputs[targets == marked.labels[0]]
    if not len(genuine):
        raise ValueError(f"triggers are entangled with images of class {int(marked.labels[0])}, and there are none")
    model = train(model, inputs, targets, seed=seed, state=state)
    settings = {"strength": strength, "temperature": temperature}
    hidden = torch.cat([marked.inputs, moved(model, marked, genuine, steps=steps, step=step, **settings)])
    generator = torch.Generator().manual_seed(seed)
    groups = torch.arange(2, device=inputs.device).repeat_interleave(joined)
    answers = marked.labels[:1].expand(2 * joined)

    def loss(model: nn.Module, batch: Tensor, labels: Tensor) -> Tensor:
        drawn = [part[torch.randint(len(part), (joined,), generator=generator)] for part in (hidden, genuine)]
        outputs, features = outputs_and_features(model, torch.cat([batch, *drawn]))
        near = soft_nearest_neighbours(features[len(batch) :], groups, temperature=temperature)
        return cross_entropy(outputs, torch.cat([labels, answers])) - strength * near

    shown = after_epoch or forget_epoch
    return fit(model.train(), inputs, targets, epochs=epochs, rate=rate, seed=seed, loss=loss, after_epoch=shown)
