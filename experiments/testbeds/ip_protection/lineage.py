"""A lineage zoo: a victim, what attackers make of it, and strangers that owe it nothing.

Roles: `victim`; the nine attacks; strangers, all scored: `unrelated_<task>` with images of their own,
`matched_<task>` with the attackers' queries and true labels, `same_images_<task>` with the victim's images,
`elsewhere_<task>` published by others; and what the owner trains by itself and nobody scores: `held_out_<task>`,
independent models that calibrate, `independent`, such models that select, and `surrogate`, copies that select.
Attackers who extract have unlabelled images and ask the victim; none of them has one of its training images, on which
its answers are the true labels and teach nothing of it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from experiments.interfaces import Samples, Zoo, ZooModel
from experiments.networks.resnet_cifar import load_published, published_file, resnet
from experiments.samples.moved import Move, with_moved
from experiments.testbeds.ip_protection.answers import with_fidelity
from experiments.testbeds.ip_protection.given import Attacks, Learner, Numbers, Published, Task, Train
from experiments.testbeds.ip_protection.makers import derived, extracted, hardened, known, loaded, pruned, trained
from experiments.training.recipe import Make, Recipe, zoo_models


def lineage(
    *,
    cache: str,
    tasks: Mapping[str, Task],
    networks: Mapping[str, Learner],
    attacks: Attacks,
    victims: list[str],
    numbers: Numbers,
    images: Mapping[str, int | None],
    queries: int,
    presentations: int,
    move: Move,
    published: Published | None = None,
    seed: int = 0,
    device: str = "cpu",
    version: int = 4,
) -> Zoo:
    """The zoo: 9 attacks, strangers, held-out models and surrogates of every family.

    Args:
        cache: folder of trained models.
        tasks: three of them: the victim's own, the same under corruption, and one with other labels.
        networks: family -> network and how it learns.
        attacks: the eight of `Attacks` -> function and settings.
        victims: families that may be the victim's, or published models; zoo seeds take them in turn.
        numbers: how many models of each sort.
        images: task -> how many labelled images of it everybody has who does not ask the victim; None for all.
        queries: how many images attackers and the owner ask the victim: a part's own, then moved copies of them.
        presentations: how many images a student is shown in all, in as many epochs as that takes.
        move: moves an image that is asked again.
        published: models that others have trained, if there are any: strangers, or the victim.
        seed: draws all others, for another zoo of the same make.
        device: trains the models.
        version: of the training code, part of every name; raised when that changes.

    Raises:
        ValueError: if a victim's family is not among the networks, there are not three tasks, a number is below 1, or
            nothing is asked.
    """
    foreign = {f"resnet{depth}": depth for depth in published["depths"]} if published else {}
    for family in victims or [""]:
        if family not in {**networks, **foreign}:
            raise ValueError(f"victims must be some of {', '.join([*networks, *foreign])}, not {family or 'none'!r}")
    if len(tasks) != 3:
        raise ValueError(f"tasks must be the victim's, a corrupted and another one, not {', '.join(tasks) or 'none'}")
    for name, number in {**numbers, "queries": queries, "presentations": presentations}.items():
        if not isinstance(number, int) or number < 1:
            raise ValueError(f"{name} must be at least 1, not {number}: without one there is nothing to compare")
    if set(images) != set(tasks):
        raise ValueError(f"images must say how many of {', '.join(tasks)}, not of {', '.join(images) or 'none'}")
    folder = Path(cache) / "lineage"
    plan = Plan(folder, tasks, networks, attacks, numbers, images, queries, presentations, move, seed, version, device)
    family = victims[seed % len(victims)]
    others = [elsewhere(plan, published["root"], foreign[name]) for name in foreign if published and name != family]
    if published and family in foreign:
        # It has learnt from everybody's images, on which its answers are the true labels: nobody can extract it.
        target = elsewhere(plan, published["root"], foreign[family], role="victim")
        made = [*continued(plan, target)]
    else:
        target = plan.recipe("victim", family, 0, plan.alone(family), part="victim")
        made = [*surrogates(plan, target), *extractions(plan, target), *continued(plan, target), *moved(plan, target)]
    recipes = [target, *strangers(plan), *others, *independent(plan), *made]
    return {model.name: model for recipe in recipes for model in plan.models(recipe, target)}


@dataclass(frozen=True)
class Plan:
    """What all recipes of a zoo share."""

    folder: Path
    tasks: Mapping[str, Task]
    networks: Mapping[str, Learner]
    attacks: Attacks
    numbers: Numbers
    images: Mapping[str, int | None]
    queries: int
    presentations: int
    move: Move
    seed: int
    version: int
    device: str

    @property
    def own(self) -> str:
        """The victim's task."""
        return next(iter(self.tasks))

    def recipe(self, role: str, family: str, number: int, make: Make, *parents: Recipe, **given: Any) -> Recipe:
        """A recipe on the attackers' few labelled images of the victim's task, unless told otherwise.

        `task` and `part` name other images; `which` is `few` of them, `all`, `asked` (all, and moved copies up to the
        number of queries) or `own` (of these queries the ones that are no copies). `network` is the family's.
        """
        wanted = {"task": self.own, "part": "attacker", "which": "few"} | given
        task, which = self.tasks[wanted["task"]], wanted["which"]
        count = self.images[wanted["task"]] if which == "few" else None
        moved: dict[str, Any] = {"queries": self.queries} if which in ("asked", "own") else {}
        if which == "asked":
            moved["move"] = self.move
        return Recipe(
            name=f"{role}-{family}-{number}",
            role=role,
            architecture=family,
            folder=self.folder,
            seed=self.seed,
            version=self.version,
            data=_images(task, wanted["part"], count, **moved),
            network=wanted.get("network") or self.networks[family]["network"],
            make=make,
            parents=parents,
            checkpoints=wanted.get("checkpoints", ()),
            facts=partial(known, evaluation=partial(task, "evaluation", None)),
            command="python -m experiments.prepare testbed=ip_protection",
            device=self.device,
        )

    def alone(self, family: str) -> Make:
        """Trained from scratch, on true labels, as this family learns from few images."""
        return partial(trained, train=self.networks[family]["train"])

    def studious(self, family: str) -> Make:
        """The same as this family learns from many."""
        return partial(trained, train=self._study(family))

    def student(self, family: str, attack: Callable[..., nn.Module]) -> Make:
        """A fresh network of this family that learns from the victim."""
        taught = _images(self.tasks[self.own], "victim", self.images[self.own])
        return partial(extracted, attack=partial(attack, train=self._study(family)), taught=taught)

    def _study(self, family: str) -> Train:
        epochs = max(1, round(self.presentations / self.queries))
        return partial(self.networks[family]["study"], epochs=epochs)

    def models(self, recipe: Recipe, target: Recipe) -> Iterator[ZooModel]:
        """For the zoo; those with the victim's labels also know how like the victim they answer."""
        other = list(self.tasks)[2]
        if recipe.role.endswith(f"_{other}") or recipe.role in ("transfer_a", "transfer_l"):
            return zoo_models(recipe)
        return with_fidelity(recipe, target, _images(self.tasks[self.own], "evaluation", None))


def strangers(plan: Plan) -> Iterator[Recipe]:
    """Models that owe the victim nothing, all of them scored."""
    for family in plan.networks:
        for number in range(plan.numbers["strangers"]):
            alone = plan.alone(family)
            for task in plan.tasks:
                yield plan.recipe(f"unrelated_{task}", family, number, alone, task=task, part="stranger")
            yield plan.recipe(f"matched_{plan.own}", family, number, plan.studious(family), which="asked")
            yield plan.recipe(f"same_images_{plan.own}", family, number, alone, part="victim")


def elsewhere(plan: Plan, root: str, depth: int, *, role: str | None = None) -> Recipe:
    """A model that others have trained on images of the victim's task, perhaps on everybody's: a stranger, by default.

    All depths are one family.
    """
    make = partial(loaded, load=partial(load_published, published_file(root, depth), depth))
    network = partial(resnet, depth, classes=10)
    recipe = plan.recipe(role or f"elsewhere_{plan.own}", f"resnet{depth}", 0, make, network=network)
    return replace(recipe, data=_no_images, architecture="resnet_cifar")


def independent(plan: Plan) -> Iterator[Recipe]:
    """Strangers that the owner trains to calibrate, and to select. None is scored.

    Every second one of the victim's task learns from what copies learn from, with true labels: what parts copies from
    these is lineage, not how they were trained.
    """
    for family in plan.networks:
        alone, study = plan.alone(family), plan.studious(family)
        for role, count in ((f"held_out_{plan.own}", "held_out"), ("independent", "independent")):
            for number in range(plan.numbers[count]):
                learns = (study, "asked") if number % 2 else (alone, "few")
                yield plan.recipe(role, family, number, learns[0], part="owner", which=learns[1])
        for task in list(plan.tasks)[1:]:
            for number in range(plan.numbers["held_out"]):
                yield plan.recipe(f"held_out_{task}", family, number, alone, task=task, part="owner")


def surrogates(plan: Plan, target: Recipe) -> Iterator[Recipe]:
    """Copies that the owner makes to select, in turn by probabilities and by labels. None is scored."""
    attacks = plan.attacks["extract_p"], plan.attacks["extract_l"]
    for family in plan.networks:
        for number in range(plan.numbers["surrogates"]):
            student = plan.student(family, attacks[number % 2])
            yield plan.recipe("surrogate", family, number, student, target, part="owner", which="asked")


def extractions(plan: Plan, target: Recipe) -> Iterator[Recipe]:
    """Students of the victim in every family."""
    for family in plan.networks:
        by_label, by_probability = (plan.student(family, plan.attacks[role]) for role in ("extract_l", "extract_p"))
        hostile = partial(hardened, attack=plan.attacks["extract_adv"])
        for number in range(plan.numbers["extracted"]):
            stolen = plan.recipe("extract_l", family, number, by_label, target, which="asked")
            yield stolen
            yield plan.recipe("extract_p", family, number, by_probability, target, which="asked")
            yield plan.recipe("extract_adv", family, number, hostile, target, stolen, which="own")


def continued(plan: Plan, target: Recipe) -> Iterator[Recipe]:
    """Models that go on from the victim's weights, on its task."""
    make = partial(plan.recipe, network=target.network)
    family, rungs = target.architecture, plan.numbers["pruned"]
    for number in range(plan.numbers["derived"]):
        for role in ("finetune_a", "finetune_l"):
            yield make(role, family, number, partial(derived, attack=plan.attacks[role]), target)
    ladder = partial(pruned, attack=partial(plan.attacks["pruning"], rungs=rungs), path=plan.seed)
    yield make("pruning", family, rungs, ladder, target, which="all", checkpoints=tuple(range(1, rungs)))


def moved(plan: Plan, target: Recipe) -> Iterator[Recipe]:
    """Models that go on from the victim's weights, on other tasks."""
    family, attacks = target.architecture, plan.attacks
    _, corrupted, other = plan.tasks
    for number in range(plan.numbers["derived"]):
        turn = attacks["transfer_a" if number % 2 else "transfer_l"]
        yield plan.recipe("transfer_10c", family, number, partial(derived, attack=turn), target, task=corrupted)
        for role in ("transfer_a", "transfer_l"):
            yield plan.recipe(role, family, number, partial(derived, attack=attacks[role]), target, task=other)


@cache
def _images(task: Task, part: str, count: int | None, **asked: Any) -> Callable[[], Samples]:
    """() -> these images; one function for all who learn from them, so that they are fingerprinted once."""
    given = partial(task, part, count)
    return partial(_asked, given, **asked) if asked else given


def _asked(given: Callable[[], Samples], *, queries: int, move: Move | None = None) -> Samples:
    own = given()
    if move:
        return with_moved(own, queries, move)
    return Samples(own.inputs[:queries], None if own.labels is None else own.labels[:queries])


def _no_images() -> Samples:
    return Samples(torch.empty(0))
