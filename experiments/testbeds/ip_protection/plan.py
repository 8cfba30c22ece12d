"""What all recipes of a lineage zoo share, and the recipe that they vary."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from experiments.interfaces import Samples, ZooModel
from experiments.samples.moved import Move, with_moved
from experiments.testbeds.ip_protection.answers import with_fidelity
from experiments.testbeds.ip_protection.given import Attacks, Learner, Numbers, Task, Train
from experiments.testbeds.ip_protection.makers import extracted, known, trained
from experiments.training.recipe import Make, Recipe, zoo_models

EARLY = "_early"
"""Ends the role of a model from the middle of a training, which is otherwise that of the model at its end."""
BATCH = 8
"""Images of a batch in a dry run, of which every training has two."""


@dataclass(frozen=True)
class Plan:
    """A zoo's settings."""

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
    dry_run: bool = False
    apart: bool = False

    @property
    def own(self) -> str:
        """The victim's task."""
        return next(iter(self.tasks))

    def recipe(self, role: str, family: str, number: int, make: Make, *parents: Recipe, **given: Any) -> Recipe:
        """A recipe on the attackers' few labelled images of the victim's task, unless told otherwise.

        `task` and `part` name other images; `which` is `few` of them, `all`, `asked` (all, and moved copies up to the
        number of queries) or `own` (of these queries the ones that are no copies). `half` is one of the part's two, 0
        or 1. `network` is the family's.
        """
        wanted = {"task": self.own, "part": "attacker", "which": "few", "half": None} | given
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
            data=_images(task, wanted["part"], count, wanted["half"], **moved),
            network=wanted.get("network") or self.networks[family]["network"],
            make=make,
            parents=parents,
            checkpoints=wanted.get("checkpoints", ()),
            facts=partial(known, evaluation=partial(task, "evaluation", None)),
            command="python -m experiments.prepare testbed=ip_protection",
            device=self.device,
        )

    def owners(self, *, chooses: bool) -> dict[str, Any]:
        """Whose images a model of the owner's learns from: where these are kept apart, those that select, or not."""
        return {"part": "owner", "half": int(chooses) if self.apart else None}

    def alone(self, family: str) -> Make:
        """Trained from scratch, on true labels, as this family learns from few images."""
        return partial(trained, train=self.networks[family]["train"])

    def studious(self, family: str) -> Make:
        """The same as this family learns from many."""
        return partial(trained, train=self._study(family))

    def student(self, family: str, attack: Callable[..., nn.Module]) -> Make:
        """A fresh network of this family that learns from the victim."""
        taught = _images(self.tasks[self.own], "victim", self.images[self.own])
        attack = partial(attack, train=self._study(family))
        return partial(extracted, attack=attack, taught=taught, dry_run=self.dry_run)

    def learnt(self) -> Iterator[Tensor]:
        """All images of the victim's task that models of the zoo learn from, before they are moved or corrupted."""
        task, few = self.tasks[self.own], self.images[self.own]
        for part, count in {"victim": few, "attacker": None, "owner": None, "stranger": few}.items():
            yield _images(task, part, count)().inputs

    @property
    def halfway(self) -> int:
        """The epoch in the middle of learning from many; the last where there is but one."""
        return max(1, self._epochs // 2)

    @property
    def _epochs(self) -> int:
        return self.presentations // self.queries

    def _study(self, family: str) -> Train:
        return partial(self.networks[family]["study"], epochs=self._epochs)

    def models(self, recipe: Recipe, target: Recipe) -> Iterator[ZooModel]:
        """For the zoo; those with the victim's labels also know how like the victim they answer."""
        other = list(self.tasks)[2]
        if recipe.role.endswith(f"_{other}") or recipe.role in ("transfer_a", "transfer_l"):
            found = zoo_models(recipe)
        else:
            found = with_fidelity(recipe, target, _images(self.tasks[self.own], "evaluation", None))
        for model in found:
            early = model.epoch == self.halfway and recipe.role in ("independent", "surrogate")
            yield replace(model, role=model.role + EARLY) if early else model


@cache
def _images(task: Task, part: str, count: int | None, half: int | None = None, **asked: Any) -> Callable[[], Samples]:
    """() -> these images; one function for all who learn from them, so that they are fingerprinted once."""
    given = partial(task, part, count) if half is None else partial(_half, partial(task, part, None), half, count)
    return partial(_asked, given, **asked) if asked else given


def _half(whole: Callable[[], Samples], half: int, count: int | None) -> Samples:
    """Half of the images, or the first `count` from where that half begins: more than half of them overlap."""
    everything = whole()
    middle = len(everything.inputs) // 2
    chosen = slice(half * middle, half * middle + (count or middle))
    return Samples(everything.inputs[chosen], None if everything.labels is None else everything.labels[chosen])


def _asked(given: Callable[[], Samples], *, queries: int, move: Move | None = None) -> Samples:
    own = given()
    if move:
        return with_moved(own, queries, move)
    return Samples(own.inputs[:queries], None if own.labels is None else own.labels[:queries])


def rehearsed(
    numbers: Numbers, networks: Mapping[str, Learner], attacks: Attacks
) -> tuple[Numbers, Mapping[str, Learner], Attacks]:
    """One model of each sort, one epoch of small batches of everything, and a ladder of pruned models with one rung."""
    quick: dict[str, Any] = {
        "finetune_a": {"epochs": 1},
        "finetune_l": {"epochs": 1},
        "pruning": {"epochs": 1, "repair": BATCH, "step": 0.3, "keep": 0.0},
        "extract_adv": {"epochs": 1, "steps": 1},
        "transfer_a": {"epochs": 1},
        "transfer_l": {"epochs": 1},
    }
    small = {"epochs": 1, "batch_size": BATCH}
    hasty: Any = {role: partial(attack, **quick.get(role, {})) for role, attack in attacks.items()}
    for role in quick:
        if learn := attacks[role].keywords.get("learn"):
            hasty[role] = partial(hasty[role], learn=partial(learn, batch_size=BATCH))
    learners: Any = {
        family: {**given, "train": partial(given["train"], **small), "study": partial(given["study"], batch_size=BATCH)}
        for family, given in networks.items()
    }
    return {**numbers, **dict.fromkeys(numbers, 1)}, learners, hasty
