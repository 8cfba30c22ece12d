"""What a lineage zoo is given: tasks, networks that learn, attacks, and how many models of each sort."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypedDict

from torch import Tensor, nn

from experiments.interfaces import Samples
from experiments.training.fit import AfterEpoch

Task = Callable[[str, int | None], Samples]
"""Part (victim, attacker, owner, stranger, evaluation) and number of images, None for all -> images and labels."""


class Network(Protocol):
    """How the maker of a network is called."""

    def __call__(self, *, seed: int) -> nn.Module:
        """An untrained network."""
        ...


class Train(Protocol):
    """How a training is called."""

    def __call__(
        self,
        model: nn.Module,
        inputs: Tensor,
        targets: Tensor,
        /,
        *,
        seed: int,
        state: Path | None,
        after_epoch: AfterEpoch,
        loss: Any = ...,
    ) -> nn.Module:
        """The model, trained in place."""
        ...


class Study(Protocol):
    """How a training of so many epochs is called."""

    def __call__(
        self,
        model: nn.Module,
        inputs: Tensor,
        targets: Tensor,
        /,
        *,
        epochs: int,
        seed: int,
        state: Path | None,
        after_epoch: AfterEpoch,
        loss: Any = ...,
    ) -> nn.Module:
        """The model, trained in place."""
        ...


Learn = Callable[..., nn.Module]
"""How an attack trains: model, images, targets, epochs, rate, seed, and maybe trainable parameters or a loss -> the
model, in eval mode."""


class Learner(TypedDict):
    """Networks of one kind, and how they learn."""

    network: Network
    train: Train
    """From few images with true labels."""
    study: Study
    """From many: students from the victim's answers, matched strangers from true labels."""


class Attacks(TypedDict):
    """The eight attacks with settings of their own; transfer_10c takes the two transfers in turn."""

    finetune_a: Callable[..., nn.Module]
    finetune_l: Callable[..., nn.Module]
    pruning: Callable[..., nn.Module]
    extract_l: Callable[..., nn.Module]
    extract_p: Callable[..., nn.Module]
    extract_adv: Callable[..., nn.Module]
    transfer_a: Callable[..., nn.Module]
    transfer_l: Callable[..., nn.Module]


Harder = Mapping[str, Callable[..., nn.Module] | Sequence[Callable[..., nn.Module]]]
"""Role -> attack: victim, images, labels and a seed -> a changed copy; or several, which make one model each.

One that does without a seed (`seed=None`) draws nothing, and makes the same copy again.
"""


class Watermark(TypedDict):
    """What an owner teaches its model besides its task, to know copies by (`training.watermark`)."""

    triggers: Callable[[Samples], Samples]
    """Images and labels -> triggers, labelled as a model with the watermark answers."""
    learn: Callable[..., nn.Module]
    """(model, images, labels, train, triggers, seed, state) -> the model, trained by `train` and marked."""


class Published(TypedDict):
    """ResNets for CIFAR that others have trained (`networks.resnet_cifar`)."""

    root: str
    """Folder of their files."""
    depths: Sequence[int]


class Numbers(TypedDict):
    """How many models of each sort: those of the victim's family alone, and of every family."""

    derived: int
    """Of each attack that continues from the victim's weights."""
    pruned: int
    """Along one path, in equal steps to the highest ratio that works."""
    extracted: int
    """Of each extraction, in every family."""
    strangers: int
    """Of each kind, and of each task, in every family."""
    held_out: int
    """That calibrate: of each task, in every family."""
    independent: int
    """Independent models that select, in every family."""
    surrogates: int
    """Copies that select, in every family, in turn by probabilities and by labels."""
