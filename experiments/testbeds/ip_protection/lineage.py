"""A lineage zoo: a victim, what attackers make of it, and models that owe it nothing.

Roles: `victim`; the nine attacks; `unrelated_<task>` (negatives that are scored, a few of them trained on the victim's
own images); `held_out_<task>` (independent models that the owner trains to calibrate and select, never scored);
`surrogate` (copies that the owner makes to select). Who trains on how many images decides whether the bench can tell
methods apart: with many, everybody learns the same function. `mini` gives everybody 400, `mini_hard` 1,500.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Protocol, TypedDict

from torch import Tensor, nn

from experiments.interfaces import Samples, Zoo
from experiments.networks.forward import accuracy
from experiments.training.recipe import Make, Making, Recipe, zoo_models

Task = Callable[[str, int | None], Samples]
"""Part (victim, attacker, owner, evaluation) and number of images -> these images and their labels."""
ATTACKS = ("finetune_a", "finetune_l", "pruning", "extract_l", "extract_p", "extract_adv", "transfer_a", "transfer_l")
"""Those with settings of their own; transfer_10c goes to the corrupted task by the two transfers in turn."""


class Network(Protocol):
    """How the maker of a network is called."""

    def __call__(self, *, seed: int) -> nn.Module:
        """An untrained network."""
        ...


class Train(Protocol):
    """How a training is called."""

    def __call__(
        self, model: nn.Module, inputs: Tensor, targets: Tensor, /, *, seed: int, state: Path | None, loss: Any = ...
    ) -> nn.Module:
        """The model, trained in place."""
        ...


class Learner(TypedDict):
    """Networks of one kind and how they learn."""

    network: Network
    train: Train


@dataclass(frozen=True)
class Family:
    """Networks of one kind and how they learn."""

    network: Callable[..., nn.Module]
    """(seed) -> an untrained network."""
    train: Callable[..., nn.Module]
    """(model, inputs, targets, seed, state, and maybe a loss) -> the trained model."""


def lineage(
    *,
    cache: str,
    tasks: Mapping[str, Task],
    networks: Mapping[str, Learner],
    attacks: Mapping[str, Callable[..., nn.Module]],
    victim: str,
    images: int,
    owner_images: int,
    other_images: int,
    other_owner_images: int,
    seeds: int,
    seed: int = 0,
    device: str = "cpu",
    version: int = 2,
) -> Zoo:
    """The zoo: 9 attacks, unrelated and held-out models of every family.

    Args:
        cache: folder of trained models.
        tasks: three of them: the victim's own, the same under corruption, and one with other labels.
        networks: family -> network and train.
        attacks: the eight of `ATTACKS` -> function and settings.
        victim: family of the victim and of everything that continues from its weights.
        images: how many images the victim, and each attacker, trains on.
        owner_images: how many images the owner trains held-out models and surrogates on.
        other_images: `images` of unrelated models of the two other tasks, and of attackers on the last one.
        other_owner_images: `owner_images` of the two other tasks.
        seeds: models per family and role.
        seed: draws all others, for another zoo of the same make.
        device: trains the models.
        version: of the training code, part of every name; raised when that changes.

    Raises:
        ValueError: if the victim's family is not among the networks, there are not three tasks, or an attack lacks.
    """
    if victim not in networks:
        raise ValueError(f"the victim's family must be one of {', '.join(networks)}, not {victim!r}")
    if len(tasks) != 3:
        raise ValueError(f"tasks must be the victim's, a corrupted and another one, not {', '.join(tasks) or 'none'}")
    if set(attacks) != set(ATTACKS):
        raise ValueError(f"attacks must be {', '.join(ATTACKS)}, not {', '.join(attacks)}")
    families = {family: Family(**given) for family, given in networks.items()}
    plan = Plan(Path(cache) / "lineage", tasks, families, images, seed, version, device)
    target = plan.recipe("victim", victim, 0, plan.alone(victim), part="victim")
    owner, few = {"part": "owner", "images": owner_images}, {"images": other_images}
    other_owner = {"part": "owner", "images": other_owner_images}
    recipes = [
        target,
        *independent(plan, seeds, owner, few, other_owner),
        *extractions(plan, target, attacks, seeds, owner),
        *derivations(plan, target, attacks, seeds, few),
    ]
    return {model.name: model for recipe in recipes for model in zoo_models(recipe)}


@dataclass(frozen=True)
class Plan:
    """What all recipes of a zoo share."""

    folder: Path
    tasks: Mapping[str, Task]
    families: Mapping[str, Family]
    images: int
    seed: int
    version: int
    device: str

    def recipe(self, role: str, family: str, number: int, make: Make, *parents: Recipe, **given: Any) -> Recipe:
        """A recipe on the attackers' images of the victim's task, unless `task`, `part` or `images` are given."""
        wanted = {"task": next(iter(self.tasks)), "part": "attacker", "images": self.images} | given
        task = self.tasks[wanted["task"]]
        return Recipe(
            name=f"{role}-{family}-{number}",
            role=role,
            architecture=family,
            folder=self.folder,
            seed=self.seed,
            version=self.version,
            data=_images(task, wanted["part"], wanted["images"]),
            network=self.families[family].network,
            make=make,
            parents=parents,
            facts=partial(known, evaluation=partial(task, "evaluation")),
            command="python -m experiments.prepare testbed=ip_protection",
            device=self.device,
        )

    def alone(self, family: str) -> Make:
        """Trained from scratch, on true labels, as this family is."""
        return partial(trained, train=self.families[family].train)

    def student(self, family: str, attack: Callable[..., nn.Module]) -> Make:
        """A fresh network of this family that learns from the victim."""
        return partial(extracted, attack=partial(attack, train=self.families[family].train))


def independent(
    plan: Plan, seeds: int, owner: Mapping[str, Any], few: Mapping[str, Any], other_owner: Mapping[str, Any]
) -> Iterator[Recipe]:
    """Models that owe the victim nothing: those that are scored, and those that the owner holds out."""
    own, *others = plan.tasks
    for family in plan.families:
        alone = plan.alone(family)
        for number in range(seeds):
            yield plan.recipe(f"unrelated_{own}", family, number, alone)
        yield plan.recipe(f"unrelated_{own}", family, seeds, alone, part="victim")
        for number in range(2):
            yield plan.recipe(f"held_out_{own}", family, number, alone, **owner)
        for task in others:
            for number in range(2):
                yield plan.recipe(f"unrelated_{task}", family, number, alone, task=task, **few)
            yield plan.recipe(f"held_out_{task}", family, 0, alone, task=task, **other_owner)


def extractions(
    plan: Plan, target: Recipe, attacks: Mapping[str, Callable[..., nn.Module]], seeds: int, owner: Mapping[str, Any]
) -> Iterator[Recipe]:
    """Students of the victim in every family, and the owner's own."""
    for position, family in enumerate(plan.families):
        by_label, by_probability = (plan.student(family, attacks[role]) for role in ("extract_l", "extract_p"))
        yield plan.recipe("surrogate", family, 0, by_label if position % 2 else by_probability, target, **owner)
        for number in range(seeds):
            stolen = plan.recipe("extract_l", family, number, by_label, target)
            yield stolen
            yield plan.recipe("extract_p", family, number, by_probability, target)
            hostile = partial(hardened, attack=attacks["extract_adv"])
            yield plan.recipe("extract_adv", family, number, hostile, target, stolen)


def derivations(
    plan: Plan, target: Recipe, attacks: Mapping[str, Callable[..., nn.Module]], seeds: int, few: Mapping[str, Any]
) -> Iterator[Recipe]:
    """Models that go on from the victim's weights."""
    family = target.architecture
    _, corrupted, other = plan.tasks
    for number in range(2 * seeds):
        for role in ("finetune_a", "finetune_l"):
            yield plan.recipe(role, family, number, partial(derived, attack=attacks[role]), target)
        turn = attacks["transfer_a" if number % 2 else "transfer_l"]
        yield plan.recipe("transfer_10c", family, number, partial(derived, attack=turn), target, task=corrupted)
        for role in ("transfer_a", "transfer_l"):
            yield plan.recipe(role, family, number, partial(derived, attack=attacks[role]), target, task=other, **few)
    for number in range(1, 8):
        pruned = partial(derived, attack=partial(attacks["pruning"], ratio=number / 10))
        yield plan.recipe("pruning", family, number, pruned, target)


@cache
def _images(task: Task, part: str, count: int) -> Callable[[], Samples]:
    """() -> these images; one function for all who learn from them, so that they are fingerprinted once."""
    return partial(task, part, count)


def trained(making: Making, *, train: Callable[..., nn.Module]) -> nn.Module:
    """From scratch, on true labels."""
    return train(making.fresh(making.seed).train(), *making.data, seed=making.seed, state=making.state)


def extracted(making: Making, *, attack: Callable[..., nn.Module]) -> nn.Module:
    """A fresh student of the first parent."""
    options = {"seed": making.seed, "state": making.state}
    return attack(making.fresh(making.seed), making.parents[0], making.data.inputs, **options)


def hardened(making: Making, *, attack: Callable[..., nn.Module]) -> nn.Module:
    """The second parent, trained further with the first one's answers."""
    return attack(making.parents[1], making.parents[0], making.data.inputs, seed=making.seed)


def derived(making: Making, *, attack: Callable[..., nn.Module]) -> nn.Module:
    """The first parent, changed."""
    return attack(making.parents[0], *making.data, seed=making.seed)


def known(model: nn.Module, data: Samples, *, evaluation: Callable[[], Samples]) -> dict[str, Any]:
    """Accuracy on the task's evaluation images."""
    return {"accuracy": accuracy(model, *evaluation().to(data.inputs.device))}
