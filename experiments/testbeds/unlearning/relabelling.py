"""Forgetting by wrong labels: unlearning methods that teach forgotten samples as something else."""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from experiments.interfaces import Samples, labels_of
from experiments.training.descent import Batch, batches, begin, descend, sgd, trainable_copy
from experiments.training.fit import AfterEpoch, forget_epoch, show


def random_label(
    model: nn.Module, retain: Samples, forget: Samples, *, seed: int, epochs: int = 3, rate: float = 1e-4
) -> nn.Module:
    """Amnesiac unlearning (Graves et al., 2021): all samples, the forgotten ones under a fixed wrong random label.

    Settings of Foster et al. (2024): 3 epochs of Adam at 1e-4.
    """
    student, generator, classes = begin(model, retain, forget, seed)
    wrong = _wrong_labels(forget, classes, generator)
    losses = _relabelled(student, retain, forget, lambda: wrong, generator, epochs)
    return descend(student, losses, torch.optim.Adam(student.parameters(), lr=rate), seed=seed)


def approximate(
    model: nn.Module,
    retain: Samples,
    forget: Samples,
    *,
    seed: int,
    epochs: int = 200,
    rate: float = 1e-3,
    after_epoch: AfterEpoch = forget_epoch,
) -> nn.Module:
    """Approximate unlearning (Song et al., 2023): on with all samples, forgotten ones under random labels.

    Labels are drawn in each epoch from the classes that no forgotten sample has. The authors continue for 200 epochs
    at the last rate of the first training, 1e-3; their label stream repeats from worker to worker, this one does not.
    `after_epoch` is shown the model along the way.

    Raises:
        ValueError: if the forgotten samples cover all classes.
    """
    student, generator, classes = begin(model, retain, forget, seed)
    hit = labels_of(forget, "forget").unique().tolist()
    others = torch.tensor([label for label in range(classes) if label not in hit])
    if not len(others):
        raise ValueError("approximate draws from classes without forgotten samples; there is none: take random_label")

    def labels() -> Tensor:
        return others[torch.randint(len(others), (len(forget.inputs),), generator=generator)].to(forget.inputs.device)

    losses = _relabelled(student, retain, forget, labels, generator, epochs, after_epoch)
    return descend(student, losses, sgd(student, rate), seed=seed)


def salun(
    model: nn.Module,
    retain: Samples,
    forget: Samples,
    *,
    seed: int,
    epochs: int = 10,
    rate: float = 0.013,
    share: float = 0.5,
) -> nn.Module:
    """SalUn (Fan et al., 2024): random labels, but only the salient share of all weights moves.

    Salient are the largest absolute gradients of the forgotten samples' loss at the given model. The others are put
    back after each step, or weight decay would move them; BatchNorm's statistics are no weights and follow the data.
    The wrong labels are drawn in each epoch. Settings of the paper: half of all weights, 10 epochs, rate 0.013.
    """
    refuse_outside_unit(share, "share")
    student, generator, classes = begin(model, retain, forget, seed)
    masks = salient(model, forget, share)
    originals = [parameter.detach().clone() for parameter in student.parameters()]

    def losses() -> Iterator[Tensor]:
        labels = partial(_wrong_labels, forget, classes, generator)
        for loss in _relabelled(student, retain, forget, labels, generator, epochs):
            yield loss
            # The loop takes its step before it asks for the next loss.
            with torch.no_grad():
                for parameter, mask, original in zip(student.parameters(), masks, originals, strict=True):
                    parameter.copy_(parameter.where(mask, original))

    return descend(student, losses(), sgd(student, rate), seed=seed)


def salient(model: nn.Module, forget: Samples, share: float) -> list[Tensor]:
    """A mask for each parameter: True for the share of all weights with the largest |gradient| of the forget loss."""
    frozen = trainable_copy(model).eval()
    labels = labels_of(forget, "forget")
    for inputs, target in zip(forget.inputs.split(256), labels.split(256), strict=True):
        cross_entropy(frozen(inputs), target, reduction="sum").backward()
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in frozen.parameters()]
    scores = torch.cat([gradient.flatten() for gradient in gradients]).abs()
    mask = torch.zeros_like(scores, dtype=torch.bool)
    mask[scores.topk(round(share * len(scores))).indices] = True
    parts = mask.split([gradient.numel() for gradient in gradients])
    return [part.view(gradient.shape) for part, gradient in zip(parts, gradients, strict=True)]


def _wrong_labels(forget: Samples, classes: int, generator: torch.Generator) -> Tensor:
    """Random labels, each another than the sample's own."""
    labels = labels_of(forget, "forget")
    return (labels + torch.randint(1, classes, labels.shape, generator=generator).to(labels.device)) % classes


def _relabelled(
    student: nn.Module,
    retain: Samples,
    forget: Samples,
    draw: Callable[[], Tensor],
    generator: torch.Generator,
    epochs: int,
    after_epoch: AfterEpoch = forget_epoch,
) -> Iterator[Tensor]:
    """Losses on all samples, the forgotten ones under labels that `draw` gives in each epoch."""
    for epoch in range(epochs):
        mixed = Samples(*joined_batch(retain, forget, draw()))
        for inputs, labels in batches(mixed, generator):
            yield cross_entropy(student(inputs), labels)
        # The loop has taken its last step before it asks for more.
        show(student, epoch + 1, after_epoch)


def refuse_outside_unit(value: float, name: str) -> None:
    """Refuse a share that is none."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must lie between 0 and 1, not {value}")


def joined_batch(retain: Samples, forget: Samples, labels: Tensor) -> Batch:
    """All images, the forgotten ones under these labels."""
    return torch.cat([retain.inputs, forget.inputs]), torch.cat([labels_of(retain, "retain"), labels])
