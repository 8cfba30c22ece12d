"""What is done to a victim: the nine attacks of Guan et al. (2022) and Song et al. (2023), as plain functions.

Recipes follow SAC's zoo with its bugs mended: schedules step as declared, distillation averages over the batch, PGD
runs in eval mode, last-layer attacks freeze BatchNorm, nothing is chosen on evaluation data. Each takes images and
labels of its own and a seed, and returns a trained model in eval mode; the victim is left alone. Any classifier will
do whose last linear layer is its head. Schedules are settings; their defaults are those of small networks on digits.
"""

import copy
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import prune as masks

from experiments.networks.channels import channel_activity
from experiments.networks.forward import accuracy, predictions
from experiments.networks.heads import head, new_head
from experiments.testbeds.ip_protection.given import Learn, Train
from experiments.testbeds.ip_protection.harder.robust import hostile
from experiments.training.descent import divergence
from experiments.training.fit import AfterEpoch, fit, forget_epoch


def finetune_all(
    victim: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    seed: int,
    epochs: int = 6,
    rate: float = 5e-4,
    learn: Learn | None = None,
) -> nn.Module:
    """Finetune-A: every weight, gently."""
    return (learn or fit)(copy.deepcopy(victim).train(), images, labels, epochs=epochs, rate=rate, seed=seed)


def finetune_last(
    victim: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    seed: int,
    epochs: int = 6,
    rate: float = 5e-3,
    learn: Learn | None = None,
) -> nn.Module:
    """Finetune-L: the classifier alone; the body keeps its BatchNorm statistics."""
    model = copy.deepcopy(victim).eval()
    return (learn or fit)(
        model, images, labels, epochs=epochs, rate=rate, seed=seed, trainable=head(model).parameters()
    )


def fine_prune(
    victim: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    seed: int,
    rungs: int,
    repair: int,
    keep_rung: Callable[[int, nn.Module], None],
    step: float = 0.05,
    keep: float = 0.95,
    epochs: int = 2,
    rate: float = 2e-3,
    learn: Learn | None = None,
) -> nn.Module:
    """Fine-pruning (Liu et al., 2018): rounds that remove the least active channels, each repaired by some epochs.

    Channels of all convolutions and linear layers but the first and the head are ranked together by their mean
    absolute activation on the attacker's images, relative to their layer's mean. The attacker repairs with its first
    images, and goes on until the model is too bad on the others.

    Args:
        victim: is left alone.
        images: the attacker's.
        labels: true ones.
        seed: orders the batches.
        rungs: how many models to keep, in equal steps to the last round but one after which the model still works.
        repair: how many of the images repair; the others judge.
        keep_rung: (1 to rungs, model) keeps the model of a rung; the last one comes back.
        step: which part of all channels goes in each round.
        keep: what a model must keep of the victim's accuracy on the images that judge, to count as working.
        epochs: after each round.
        rate: of these epochs.
        learn: how; `fit` by default.

    Raises:
        ValueError: if the victim has no channels to remove, no images are left to judge, or fewer rounds than rungs
            leave it working.
    """
    model = copy.deepcopy(victim)
    layers = [module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)][1:]
    layers = [layer for layer in layers if layer is not head(model)]
    if not layers:
        raise ValueError("fine-pruning removes channels of all layers but the first and the last: take a deeper victim")
    if not 1 <= repair < len(images):
        raise ValueError(
            f"repair must lie between 1 and {len(images) - 1}, so that an image is left to judge by: {repair}"
        )
    floor = keep * accuracy(victim, images[repair:], labels[repair:])
    working: list[dict[str, Tensor]] = []
    for round_ in range(1, round(1 / step)):
        _remove_least_active(model, layers, round_ * step, images)
        (learn or fit)(model.train(), images[:repair], labels[:repair], epochs=epochs, rate=rate, seed=seed + round_)
        for layer in layers:
            for name in _masked(layer):
                masks.remove(layer, name)
        if accuracy(model, images[repair:], labels[repair:]) < floor:
            break
        working.append(copy.deepcopy(model.state_dict()))
    trusted = len(working) - 1  # whatever round came last is the likeliest to have passed by luck
    if trusted < rungs:
        raise ValueError(
            f"{max(0, trusted)} rounds of {step:.0%} of all channels leave the victim working, which are no {rungs} "
            "different models: prune in smaller steps, repair longer, or ask for fewer"
        )
    for rung in range(1, rungs + 1):
        model.load_state_dict(working[round(rung / rungs * trusted) - 1])
        keep_rung(rung, model.eval())
    return model


def extract_label(
    student: nn.Module,
    victim: nn.Module,
    images: Tensor,
    *,
    seed: int,
    train: Train,
    state: Path | None = None,
    after_epoch: AfterEpoch | None = None,
) -> nn.Module:
    """Extract-L: a fresh student learns the victim's hard labels."""
    given = (student.train(), images, predictions(victim, images).argmax(1))
    return train(*given, seed=seed, state=state, after_epoch=after_epoch or forget_epoch)


def extract_probability(
    student: nn.Module,
    victim: nn.Module,
    images: Tensor,
    *,
    seed: int,
    train: Train,
    temperature: float = 20,
    state: Path | None = None,
    after_epoch: AfterEpoch | None = None,
) -> nn.Module:
    """Extract-P: a fresh student is distilled (Hinton et al., 2015), 0.9 soft at a temperature and 0.1 hard."""

    def loss(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        logits = model(inputs)
        return 0.9 * divergence(logits, targets, temperature) + 0.1 * cross_entropy(logits, targets.argmax(1))

    given = (student.train(), images, predictions(victim, images))
    return train(*given, seed=seed, loss=loss, state=state, after_epoch=after_epoch or forget_epoch)


def extract_adversarial(
    student: nn.Module,
    victim: nn.Module,
    images: Tensor,
    *,
    seed: int,
    epochs: int = 2,
    rate: float = 1e-3,
    radius: float = 0.1,
    steps: int | None = None,
    learn: Learn | None = None,
) -> nn.Module:
    """Extract-Adv: a student is trained on adversarial examples (`hostile`), too, with the victim's labels."""

    def loss(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        changed = hostile(model, inputs, targets, radius=radius, steps=steps)
        return cross_entropy(model(inputs), targets) + cross_entropy(model(changed), targets)

    targets = predictions(victim, images).argmax(1)
    return (learn or fit)(
        copy.deepcopy(student).train(), images, targets, epochs=epochs, rate=rate, seed=seed, loss=loss
    )


def transfer_all(
    victim: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    seed: int,
    epochs: int = 8,
    rate: float = 1e-3,
    learn: Learn | None = None,
) -> nn.Module:
    """Transfer-A: a new head of as many outputs, then every weight on another task."""
    model = new_head(victim, classes=head(victim).out_features, seed=seed)
    return (learn or fit)(model.train(), images, labels, epochs=epochs, rate=rate, seed=seed)


def transfer_last(
    victim: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    seed: int,
    epochs: int = 12,
    rate: float = 1e-2,
    learn: Learn | None = None,
) -> nn.Module:
    """Transfer-L: a new head of as many outputs, and nothing else, on another task."""
    model = new_head(victim, classes=head(victim).out_features, seed=seed).eval()
    return (learn or fit)(
        model, images, labels, epochs=epochs, rate=rate, seed=seed, trainable=head(model).parameters()
    )


def _remove_least_active(model: nn.Module, layers: list[nn.Module], ratio: float, images: Tensor) -> None:
    """Zero this part of the layers' channels, weights and biases, and hold them at zero while the model is repaired."""
    activity = channel_activity(model, layers, images)
    # Whatever is gone ranks last, so that it stays gone.
    activity = [
        torch.where(layer.weight.flatten(1).any(1), active, -1.0)
        for layer, active in zip(layers, activity, strict=True)
    ]
    kept = torch.ones(sum(map(len, activity)), device=activity[0].device)
    kept[torch.cat(activity).argsort(stable=True)[: int(ratio * len(kept))]] = 0
    for layer, keep in zip(layers, kept.split([len(active) for active in activity]), strict=True):
        for name in _masked(layer):
            weight = getattr(layer, name)
            masks.custom_from_mask(layer, name, keep.view(-1, *[1] * (weight.ndim - 1)).expand_as(weight))


def _masked(layer: nn.Module) -> list[str]:
    return ["weight"] if layer.bias is None else ["weight", "bias"]
