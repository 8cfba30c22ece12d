"""Models of an unlearning zoo as recipes: what each depends on, where it lies, and making it once.

A recipe names a maker (of the wing's `makers`), its settings and the models that it starts from; its digest names
the file.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import nn

from experiments.interfaces import Pools, labels_of
from experiments.networks.forward import log_odds, predictions
from experiments.storage.files import lock
from experiments.storage.identity import described, digest
from experiments.storage.weights import load_facts, load_weights, save_weights
from experiments.testbeds.unlearning import fakes as controls

RECIPE_VERSION = 1
"""Part of every file's name; raise it when a maker changes."""
REMEMBERED = 500
"""For how many forgotten training images a model's facts hold its log-odds."""
Remember = Callable[[int, nn.Module], None]
Maker = Callable[["Recipe", Sequence[nn.Module], Pools, Remember], nn.Module]


@dataclass(frozen=True)
class Materials:
    """What all models of a zoo share."""

    cache: Path
    pools: Callable[[], Pools]
    network: Callable[..., nn.Module]
    """(classes, seed) -> an untrained network."""
    train: Callable[..., nn.Module]
    """(model, inputs, labels, seed, after_epoch) -> the trained model; has a setting `epochs`."""
    device: str


@dataclass(frozen=True)
class Recipe:
    """How one model comes about."""

    name: str
    role: str
    seed: int
    materials: Materials
    make: Maker
    settings: Mapping[str, Any] = field(default_factory=dict)
    parents: tuple["Recipe", ...] = ()
    checkpoints: tuple[int, ...] = ()
    """After which epochs the weights are kept, too."""

    def identity(self) -> dict[str, Any]:
        """Everything that the weights depend on."""
        shared = self.materials
        return {
            "version": RECIPE_VERSION,
            "name": self.name,
            "seed": self.seed,
            "data": described(shared.pools),
            "network": described(shared.network),
            "train": described(shared.train),
            "make": self.make.__name__,
            "settings": described(dict(self.settings)),
            "parents": [digest(parent.identity()) for parent in self.parents],
        }

    def file(self, epoch: int | None = None) -> Path:
        """Where the trained model lies, or its weights after an epoch."""
        after = "" if epoch is None else f".epoch{epoch}"
        return self.materials.cache / "unlearning" / f"{self.name}-{digest(self.identity())}{after}.safetensors"

    def own_seed(self) -> int:
        """No two models share initial weights or the order of their batches, unless their recipe says so."""
        return int(digest(self.identity()), 16) % 2**31


def load(recipe: Recipe, epoch: int | None = None) -> nn.Module:
    """The trained model, on the CPU, in eval mode.

    Raises:
        FileNotFoundError: if it has not been made; names the command that does.
        ValueError: if the file is damaged or holds another network.
    """
    file = recipe.file(epoch)
    if not file.exists():
        gap = "" if epoch is None else f" (the checkpoints {list(recipe.checkpoints)} of {recipe.name} have a gap)"
        raise FileNotFoundError(f"{file} is missing{gap}; python -m experiments.prepare testbed=unlearning makes it")
    weights = load_weights(file)
    classes = load_facts(file)["classes"]
    model: nn.Module = recipe.materials.network(classes=classes, seed=0)
    if "direction" in weights:
        model = controls.Shifted(model, torch.zeros_like(weights["direction"]))
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip()
        raise ValueError(f"{file} does not fit the configured network ({reason}); delete it and run again") from None
    return model.eval()


def facts(recipe: Recipe, epoch: int | None = None) -> dict[str, Any]:
    """What is known about the trained model: accuracies, log-odds of forgotten images, seconds."""
    return load_facts(recipe.file(epoch))


def ready(recipe: Recipe) -> bool:
    """Whether the model and all its checkpoints are there."""
    return all(recipe.file(epoch).exists() for epoch in (None, *recipe.checkpoints))


def prepare(recipe: Recipe) -> None:
    """Make the model, after its parents, unless it is there."""
    if ready(recipe):
        return
    with lock(recipe.file()):
        if ready(recipe):
            return
        for parent in recipe.parents:
            prepare(parent)
        torch.set_num_threads(1)
        began = perf_counter()
        device = recipe.materials.device
        pools = recipe.materials.pools().to(device)
        parents = [load(parent).to(device) for parent in recipe.parents]

        def remember(epoch: int, model: nn.Module) -> None:
            if epoch in recipe.checkpoints:
                save_weights(recipe.file(epoch), model.state_dict(), _facts(recipe, model, pools, began))

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.own_seed())
            model = recipe.make(recipe, parents, pools, remember)
        save_weights(recipe.file(), model.state_dict(), _facts(recipe, model, pools, began))


def accuracies(model: nn.Module, pools: Pools) -> dict[str, float]:
    """Share of images classified right, for every pool."""
    shares = {}
    for name in ("forget", "retain", "retain_unseen", "forget_unseen"):
        inputs, labels = getattr(pools, name)
        shares[name] = float((predictions(model, inputs).argmax(1) == labels).float().mean())
    return shares


def known(model: nn.Module, pools: Pools) -> dict[str, Any]:
    """What the testbed asks about every model: accuracies on all pools, log-odds of forgotten training images."""
    shares = accuracies(model, pools)
    outputs = predictions(model, pools.forget.inputs[:REMEMBERED])
    odds = log_odds(outputs, labels_of(pools.forget, "forget")[:REMEMBERED])
    return {
        **{f"accuracy_{name}": share for name, share in shares.items()},
        "accuracy": shares["retain_unseen"],
        "log_odds": [round(value, 3) for value in odds.tolist()],
    }


def _facts(recipe: Recipe, model: nn.Module, pools: Pools, began: float) -> dict[str, Any]:
    return {
        **known(model, pools),
        "classes": pools.classes,
        "seconds": round(perf_counter() - began, 2),
        "recipe": recipe.identity(),
    }
