"""A lineage zoo on real digits: a victim, what attackers make of it, and models that owe it nothing.

Roles: `victim`; the nine attacks; `unrelated_<task>` (negatives that are scored, a few of them trained on the
victim's own images); `held_out_<task>` (independent
models that the owner trains to calibrate and select, never scored); `surrogate` (copies that the owner makes to
select). Who trains on how many images decides whether the bench can tell methods apart: with many, everybody learns
the same function. `mini` gives everybody 400, `mini_hard` 1,500.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import nn

from experiments.interfaces import Samples, Zoo, ZooModel
from experiments.networks.forward import accuracy
from experiments.networks.timm import build
from experiments.samples import digits
from experiments.storage.files import lock
from experiments.storage.identity import digest
from experiments.storage.weights import load_facts, load_weights, save_weights
from experiments.testbeds.ip_protection import attacks
from experiments.training.fit import fit

RECIPE_VERSION = 1
"""Part of every file's name; raise it when a training recipe changes."""
TASKS = {"digits": digits.digits, "corrupted": digits.corrupted, "turned": digits.turned}


@dataclass(frozen=True)
class Network:
    """A family of networks and how it is trained from scratch."""

    name: str
    epochs: int
    rate: float
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    """How one model of the zoo comes about; its digest names the file."""

    name: str
    role: str
    family: str
    network: Network
    seed: int
    task: str
    part: str
    images: int
    attack: Callable[..., nn.Module] | None = None
    """One of `experiments.testbeds.ip_protection.attacks`; None trains from scratch on true labels."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    parents: tuple["Recipe", ...] = ()
    """The victim, and the model that training starts from if that is another one."""

    def identity(self) -> dict[str, Any]:
        """Everything that the weights depend on."""
        return {
            "version": RECIPE_VERSION,
            "name": self.name,
            "network": [self.network.name, self.network.epochs, self.network.rate, dict(self.network.options)],
            "training": [
                self.seed,
                self.task,
                self.part,
                self.images,
                self.attack and self.attack.__name__,
                dict(self.settings),
            ],
            "parents": [digest(parent.identity()) for parent in self.parents],
        }

    def file(self, cache: Path) -> Path:
        """Where the trained model lies."""
        return cache / "lineage" / f"{self.name}-{digest(self.identity())}.safetensors"


def lineage(
    *,
    cache: str,
    networks: Mapping[str, Mapping[str, Any]],
    victim: str,
    images: int,
    owner_images: int,
    seeds: int,
    seed: int = 0,
) -> Zoo:
    """The zoo: 9 attacks, unrelated and held-out models of every family.

    Args:
        cache: folder of trained models.
        networks: family -> timm name, epochs, rate and options.
        victim: family of the victim and of everything that continues from its weights.
        images: how many images the victim, and each attacker, trains on.
        owner_images: how many images the owner trains held-out models and surrogates on.
        seeds: models per family and role.
        seed: shifts every other seed, for another zoo of the same make.

    Raises:
        ValueError: if the victim's family is not among the networks.
    """
    if victim not in networks:
        raise ValueError(f"the victim's family must be one of {', '.join(networks)}, not {victim!r}")
    families = {family: Network(**network) for family, network in networks.items()}
    recipes = _recipes(families, victim, images, owner_images, seeds, seed)
    return {recipe.name: _zoo_model(recipe, Path(cache)) for recipe in recipes}


def _recipes(
    families: Mapping[str, Network], victim: str, images: int, owner_images: int, seeds: int, shift: int
) -> Iterator[Recipe]:
    def make(role: str, family: str, number: int, **rest: Any) -> Recipe:
        defaults = {"task": "digits", "part": "attacker", "images": images} | rest
        return Recipe(f"{role}-{family}-{number}", role, family, families[family], number + 1000 * shift, **defaults)

    target = make("victim", victim, 0, part="victim")
    yield target
    for position, family in enumerate(families):
        for number in range(seeds):
            yield make("unrelated_digits", family, number)
        yield make("unrelated_digits", family, seeds, part="victim")
        for task in ("corrupted", "turned"):
            for number in range(2):
                yield make(f"unrelated_{task}", family, number, task=task, images=min(images, 800))
        owner = {"part": "owner", "images": owner_images}
        for number in range(2):
            yield make("held_out_digits", family, number, **owner)
        for task in ("corrupted", "turned"):
            yield make(f"held_out_{task}", family, 0, **owner | {"task": task, "images": min(owner_images, 500)})
        surrogate = attacks.extract_label if position % 2 else attacks.extract_probability
        yield make("surrogate", family, 0, attack=surrogate, parents=(target,), **owner)
        for number in range(seeds):
            stolen = make("extract_l", family, number, attack=attacks.extract_label, parents=(target,))
            yield stolen
            yield make("extract_p", family, number, attack=attacks.extract_probability, parents=(target,))
            yield make("extract_adv", family, number, attack=attacks.extract_adversarial, parents=(target, stolen))
    derived = {"parents": (target,)}
    for number in range(2 * seeds):
        yield make("finetune_a", victim, number, attack=attacks.finetune_all, **derived)
        yield make("finetune_l", victim, number, attack=attacks.finetune_last, **derived)
        transfer = attacks.transfer_all if number % 2 else attacks.transfer_last
        yield make("transfer_10c", victim, number, task="corrupted", attack=transfer, **derived)
        other = derived | {"task": "turned", "images": min(images, 800)}
        yield make("transfer_a", victim, number, attack=attacks.transfer_all, **other)
        yield make("transfer_l", victim, number, attack=attacks.transfer_last, **other)
    for number in range(1, 8):
        yield make("pruning", victim, number, attack=attacks.fine_prune, settings={"ratio": number / 10}, **derived)


def _zoo_model(recipe: Recipe, cache: Path) -> ZooModel:
    file = recipe.file(cache)
    return ZooModel(
        recipe.name,
        recipe.role,
        recipe.family,
        load=partial(_load, recipe, file),
        prepare=partial(_prepare, recipe, cache),
        ready=file.exists,
        facts=partial(load_facts, file),
    )


def _load(recipe: Recipe, file: Path) -> nn.Module:
    if not file.exists():
        raise FileNotFoundError(f"{file} is missing; python -m experiments.prepare testbed=ip_protection makes it")
    model, weights = _fresh(recipe), load_weights(file)
    try:
        model.load_state_dict(weights)
    except RuntimeError:
        raise ValueError(
            f"{file} does not hold a {recipe.network.name}: it is a checkpoint of another architecture; "
            "delete it and run again"
        ) from None
    return model.eval()


def _prepare(recipe: Recipe, cache: Path) -> None:
    file = recipe.file(cache)
    if file.exists():
        return
    with lock(file):
        if file.exists():
            return
        for parent in recipe.parents:
            _prepare(parent, cache)
        torch.set_num_threads(1)
        began = perf_counter()
        model = _train(recipe, [_load(parent, parent.file(cache)) for parent in recipe.parents])
        facts = {
            "accuracy": accuracy(model, *TASKS[recipe.task]("evaluation")),
            "seconds": round(perf_counter() - began, 2),
            **{key: value for key, value in recipe.identity().items() if key != "version"},
        }
        save_weights(file, model.state_dict(), facts)


def _train(recipe: Recipe, parents: Sequence[nn.Module]) -> nn.Module:
    samples: Samples = TASKS[recipe.task](recipe.part, recipe.images)
    seed = _seed(recipe)
    torch.manual_seed(seed)
    schedule = {"epochs": recipe.network.epochs, "rate": recipe.network.rate, "seed": seed}
    if recipe.attack is None:
        return fit(_fresh(recipe).train(), *samples, **schedule)
    if recipe.attack in (attacks.extract_label, attacks.extract_probability):
        return recipe.attack(_fresh(recipe), parents[0], samples.inputs, **schedule)
    if recipe.attack is attacks.extract_adversarial:
        return recipe.attack(parents[1], parents[0], samples.inputs, seed=seed)
    return recipe.attack(parents[0], *samples, seed=seed, **recipe.settings)


def _fresh(recipe: Recipe) -> nn.Sequential:
    return build(recipe.network.name, classes=10, seed=_seed(recipe), **recipe.network.options)


def _seed(recipe: Recipe) -> int:
    """No two models share initial weights or the order of their batches, unless one continues from the other."""
    return int(digest(recipe.identity()), 16) % 2**31
