"""How models of a lineage zoo come about, each from its own images and from those that it owes something to."""

from collections.abc import Callable
from typing import Any

from torch import nn

from experiments.interfaces import Samples
from experiments.networks.forward import accuracy
from experiments.testbeds.ip_protection.given import Train
from experiments.training.recipe import Making

LEARNT = 0.1
"""Which part of the way from the commonest class to all right a victim must have gone, to be worth a copy."""


def trained(making: Making, *, train: Train) -> nn.Module:
    """From scratch, on true labels."""
    options = {"seed": making.seed, "state": making.state, "after_epoch": making.after_epoch}
    return train(making.fresh(seed=making.seed).train(), *making.data, **options)


def extracted(
    making: Making, *, attack: Callable[..., nn.Module], taught: Callable[[], Samples], dry_run: bool = False
) -> nn.Module:
    """A fresh student of the first parent, the victim.

    Args:
        making: its data are what the victim is asked.
        attack: (student, victim, images, seed, state, after_epoch) -> the trained student.
        taught: () -> what the victim was trained on, and is not asked.
        dry_run: lets a victim pass that has learnt nothing.

    Raises:
        ValueError: if the victim is no better than chance, or was trained on an image that it is asked.
    """
    own = {image.numpy().tobytes() for image in taught().inputs}
    overlap = sum(image.cpu().numpy().tobytes() in own for image in making.data.inputs)
    if overlap:
        raise ValueError(
            f"{overlap} of the queries are images that the victim was trained on; its answers to them are "
            "the true labels and teach nothing of it: give attackers and owner other images"
        )
    right = accuracy(making.parents[0], *making.data)
    chance = float(making.data.labels.unique(return_counts=True)[1].max() / len(making.data.labels))
    if not dry_run and right < chance + LEARNT * (1 - chance):
        raise ValueError(
            f"the victim is right on {right:.0%} of the queries, where whoever names the commonest class is on "
            f"{chance:.0%}: there is nothing to copy; train it longer or on more images"
        )
    options = {"seed": making.seed, "state": making.state, "after_epoch": making.after_epoch}
    return attack(making.fresh(seed=making.seed), making.parents[0], making.data.inputs, **options)


def hardened(making: Making, *, attack: Callable[..., nn.Module]) -> nn.Module:
    """The second parent, trained further with the first one's answers."""
    return attack(making.parents[1], making.parents[0], making.data.inputs, seed=making.seed)


def derived(making: Making, *, attack: Callable[..., nn.Module]) -> nn.Module:
    """The first parent, changed."""
    return attack(making.parents[0], *making.data, seed=making.seed)


def pruned(making: Making, *, attack: Callable[..., nn.Module], path: int) -> nn.Module:
    """The first parent without its least active channels; less of them are gone at each checkpoint.

    Args:
        making: its data repair and judge.
        attack: (victim, images, labels, seed, keep_rung) -> the model at the end.
        path: seed of the rounds.
    """
    return attack(making.parents[0], *making.data, seed=path, keep_rung=making.after_epoch)


def loaded(making: Making, *, load: Callable[[], nn.Module]) -> nn.Module:
    """A model that was trained elsewhere."""
    return load()


def known(model: nn.Module, data: Samples, *, evaluation: Callable[[], Samples]) -> dict[str, Any]:
    """Accuracy on the task's evaluation images."""
    return {"accuracy": accuracy(model, *evaluation().to(data.inputs.device))}
