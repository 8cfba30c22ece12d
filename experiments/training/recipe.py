"""How a model comes about, as a value; its name says all of it, and it is made once, whoever asks.

A zoo is a list of recipes. What differs between zoos are values: the data, the network, the maker (a function that
trains, steals, prunes or forgets, with its settings) and the models that it starts from.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import nn

from experiments.commands.refusal import Mendable
from experiments.interfaces import ZooModel
from experiments.storage.files import make_once
from experiments.storage.identity import described, digest
from experiments.storage.weights import load_facts, load_weights, save_weights
from experiments.training.fit import AfterEpoch


@dataclass(frozen=True)
class Making:
    """What a maker may use, all on one device."""

    data: Any
    """What `Recipe.data` gives."""
    parents: Sequence[nn.Module]
    """Trained models to start from or to learn from; whoever changes one changes a copy."""
    fresh: Callable[..., nn.Module]
    """(seed) -> an untrained network."""
    seed: int
    """The model's own: draws initial weights and orders batches, unless the recipe says otherwise."""
    after_epoch: AfterEpoch
    """Keeps the checkpoints that the recipe asks for."""
    state: Path
    """Where a long training may keep its state, so that it goes on where it was killed."""
    notes: dict[str, Any] = field(default_factory=dict)
    """For what only the maker can tell of the model; it joins the model's facts."""


Make = Callable[[Making], nn.Module]


def nothing_more(model: nn.Module, data: Any) -> dict[str, Any]:
    """No facts but the maker's own."""
    return {}


@dataclass(frozen=True)
class Recipe:
    """How one model comes about."""

    name: str
    role: str
    """What the model is to its testbed; no part of the file's name."""
    architecture: str
    """Family of the network, for tables; no part of the file's name."""
    folder: Path
    seed: int
    """The zoo's."""
    version: int
    """Of the zoo's training code; to be raised when that changes."""
    data: Callable[[], Any]
    """() -> images and labels, with a method `to(device)`; those to train on, at least."""
    network: Callable[..., nn.Module]
    """(seed) -> an untrained network."""
    make: Make
    """Making -> the trained model; a partial function, whose settings belong to the name."""
    parents: tuple["Recipe", ...] = ()
    checkpoints: tuple[int, ...] = ()
    """After which epochs the weights are kept, too; they come of one training and are one job."""
    epochs: int | None = None
    """How long the whole training is, where checkpoints are kept along it; `make` has it, too."""
    facts: Callable[[nn.Module, Any], dict[str, Any]] = nothing_more
    """Trained model and data -> what is to be known of it, JSON-like."""
    fingerprint: Callable[[], Any] | None = None
    """() -> what names the data, where that is cheaper than the data: a generator's version and seed. By default every
    number of the data counts."""
    command: str = "python -m experiments.prepare"
    """What makes the model, for whoever misses it."""
    device: str = "cpu"

    def __post_init__(self) -> None:
        """The name becomes a file's: one with a path in it would lie outside the folder."""
        if not self.name or any(sign in self.name for sign in "/\\\0"):
            raise ValueError(
                f"a model's name becomes a file's and must have no / or \\ in it, unlike {self.name!r}; "
                "rename its role, its task or its family of networks"
            )

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Everything that the weights depend on, by bare names; not where code or data lie."""
        return {
            "name": self.name,
            "seed": self.seed,
            "version": self.version,
            "data": self.fingerprint() if self.fingerprint else _every_number(self.data),
            "network": described(self.network),
            "make": described(self.make),
            "parents": [digest(parent.identity) for parent in self.parents],
        }

    @property
    def own_seed(self) -> int:
        """No two models of a zoo share initial weights or the order of their batches, unless their makers say so."""
        return int(digest([self.name, self.seed]), 16) % 2**31

    def file(self, epoch: int | None = None) -> Path:
        """Where the trained model lies, or its weights after an epoch."""
        after = "" if epoch is None else f".epoch{epoch}"
        return self.folder / f"{self.name}-{digest(self.identity)}{after}.safetensors"


def ready(recipe: Recipe) -> bool:
    """Whether the model and all its checkpoints are there."""
    return all(recipe.file(epoch).exists() for epoch in (None, *recipe.checkpoints))


def prepare(recipe: Recipe) -> None:
    """Make the model, after its parents, unless it is there; who comes second waits."""
    make_once(recipe.file(), partial(_make, recipe), ready=partial(ready, recipe))


def load(recipe: Recipe, epoch: int | None = None) -> nn.Module:
    """The trained model on the CPU, in eval mode, or what it was after an epoch.

    Raises:
        FileNotFoundError: if it has not been made; names the command that does.
        ValueError: if the file is damaged, or holds another model or network.
    """
    file = recipe.file(epoch)
    if not file.exists():
        gap = "" if epoch is None else f" (the checkpoints {list(recipe.checkpoints)} of {recipe.name} have a gap)"
        raise FileNotFoundError(f"{file} is missing{gap}; {recipe.command} makes it")
    facts_of(recipe, epoch)
    model, weights = recipe.network(seed=0), load_weights(file)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip()
        raise Mendable(
            f"{file} does not hold the configured network, but a checkpoint of another architecture ({reason}); "
            "delete it and run again"
        ) from None
    return model.eval()


def facts_of(recipe: Recipe, epoch: int | None = None) -> dict[str, Any]:
    """The facts of the trained model, or of what it was after an epoch.

    Raises:
        FileNotFoundError: if it has not been made.
        ValueError: if the file is damaged or holds a model of another recipe.
    """
    file = recipe.file(epoch)
    facts = load_facts(file)
    made = facts.get("recipe") or {}
    if digest(made) != digest(recipe.identity):
        raise Mendable(
            f"{file} holds the model {made.get('name')} of another recipe, not {recipe.name} as configured; "
            "delete it and run again: it is made anew"
        )
    return facts


def zoo_models(recipe: Recipe) -> Iterator[ZooModel]:
    """The model for a zoo, and before it one for each of its checkpoints."""
    for epoch in (*recipe.checkpoints, None):
        yield ZooModel(
            recipe.name if epoch is None else f"{recipe.name}@{epoch}",
            recipe.role,
            recipe.architecture,
            load=partial(load, recipe, epoch),
            prepare=partial(prepare, recipe),
            ready=partial(ready, recipe),
            facts=partial(facts_of, recipe, epoch),
            epoch=epoch,
            epochs=recipe.epochs,
            fingerprint=partial(_fingerprint, recipe),
            job=recipe.name,
        )


def _fingerprint(recipe: Recipe) -> str:
    return digest(recipe.identity)


@cache
def _every_number(data: Callable[[], Any]) -> str:
    """Names data that many recipes of a zoo share; 50,000 photographs take a second."""
    return digest(described(data()))


def _make(recipe: Recipe) -> None:
    for parent in recipe.parents:
        prepare(parent)
    torch.set_num_threads(1)
    began = perf_counter()
    data = recipe.data().to(recipe.device)
    notes: dict[str, Any] = {}

    def save(epoch: int | None, model: nn.Module) -> None:
        known = recipe.facts(model, data) | notes
        seconds = round(perf_counter() - began, 2)
        save_weights(recipe.file(epoch), model.state_dict(), known | {"seconds": seconds, "recipe": recipe.identity})

    def keep(epoch: int, model: nn.Module) -> None:
        if epoch in recipe.checkpoints:
            save(epoch, model)

    making = Making(
        data,
        [load(parent).to(recipe.device) for parent in recipe.parents],
        lambda seed: recipe.network(seed=seed).to(recipe.device),
        recipe.own_seed,
        keep,
        recipe.file().with_suffix(".state"),
        notes,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.own_seed)
        save(None, recipe.make(making))
