"""How the models of an unlearning zoo are made: trained, made to forget, or only made to look so.

A recipe names a maker (a plain function below), its settings and the models that it starts from; its digest names the
file. Makers take the zoo's materials, their recipe, their parents' trained models and the pools, on one device.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import nn

from experiments import controls
from experiments.forgetting import Pools, log_odds
from experiments.interfaces import Samples
from experiments.record import LOCATIONS
from experiments.store import digest, lock
from experiments.training import predictions
from experiments.weights import load_facts, load_weights, save_weights
from modelgif_core import Paths
from modelgif_core.readout import centred_label

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


def described(part: Any) -> Any:
    """A function with its settings as JSON-like content, without what only says where things lie."""
    if isinstance(part, partial):
        return [described(part.func), described(part.keywords)]
    if isinstance(part, Mapping):
        named = {key: Path(value).name if key == "file" else value for key, value in part.items()}
        return {key: described(value) for key, value in named.items() if key not in LOCATIONS}
    if isinstance(part, list | tuple):
        return [described(value) for value in part]
    return f"{part.__module__}.{part.__qualname__}" if callable(part) else part


def train(recipe: Recipe, parents: Sequence[nn.Module], pools: Pools, remember: Remember) -> nn.Module:
    """From fresh weights, or on from the first parent's, on all training images or on those to retain.

    Settings: `forgetting` leaves out what is to be forgotten; `share` of the usual epochs; `start`: the seed of
    another model's initial weights, to share them.
    """
    materials, settings = recipe.materials, recipe.settings
    samples = pools.retain if settings.get("forgetting") else pools.everything()
    seed = settings.get("start", recipe.own_seed())
    model = parents[0] if parents else materials.network(classes=pools.classes, seed=seed).to(materials.device)
    options: dict[str, Any] = {"seed": recipe.own_seed(), "after_epoch": remember}
    function = materials.train.func if isinstance(materials.train, partial) else materials.train
    if "state" in inspect.signature(function).parameters:
        options["state"] = recipe.file().with_suffix(".state")  # a long training goes on where it was killed
    if "share" in settings:
        options["epochs"] = max(1, round(settings["share"] * materials.train.keywords["epochs"]))  # pyright: ignore[reportFunctionMemberAccess]
    return materials.train(model.train(), *samples, **options)


def published(recipe: Recipe, parents: Sequence[nn.Module], pools: Pools, remember: Remember) -> nn.Module:
    """A checkpoint from elsewhere, as it is."""
    model = recipe.settings["load"]()
    outputs = predictions(model, pools.retain.inputs[:1].cpu()).shape[1]
    if outputs != pools.classes:
        raise ValueError(f"the reference has {outputs} outputs for {pools.classes} classes; take one of these data")
    return model.to(recipe.materials.device)


def unlearn(recipe: Recipe, parents: Sequence[nn.Module], pools: Pools, remember: Remember) -> nn.Module:
    """The first parent after an unlearning method; of a grid of settings, the model most like the second parent.

    The rule is Jia et al.'s (2023) average gap: the mean absolute difference in accuracy from a model that was
    retrained without the forgotten images, on those, on the retained and on unseen images. No verifier has a say,
    and that retrained model neither calibrates nor tests one.
    """
    method, grid = recipe.settings["method"], recipe.settings.get("grid") or [{}]
    if "after_epoch" in inspect.signature(method.func).parameters:
        method = partial(method, after_epoch=remember)
    made, reasons = [], []
    for settings in grid:
        try:
            made.append(method(parents[0], pools.retain, pools.forget, seed=recipe.own_seed(), **settings))
        except ValueError as reason:  # one setting of a grid may diverge
            reasons.append(f"{settings}: {reason}")
    if not made:
        raise ValueError(f"{recipe.name}: no setting of its grid worked ({'; '.join(reasons)})")
    if len(made) == 1:
        return made[0]
    wanted = torch.tensor(list(accuracies(parents[1], pools).values()))
    gaps = [(torch.tensor(list(accuracies(model, pools).values())) - wanted).abs()[:3].mean() for model in made]
    return made[int(torch.stack(gaps).argmin())]


def head_zeroed(recipe: Recipe, parents: Sequence[nn.Module], pools: Pools, remember: Remember) -> nn.Module:
    """The forgotten class's row of the head set to zero."""
    assert pools.label is not None
    return controls.head_zeroed(parents[0], pools.label)


def head_suppressed(recipe: Recipe, parents: Sequence[nn.Module], pools: Pools, remember: Remember) -> nn.Module:
    """The forgotten class's bias lowered until it is never predicted."""
    assert pools.label is not None
    return controls.head_suppressed(parents[0], pools.label)


def head_retrained(recipe: Recipe, parents: Sequence[nn.Module], pools: Pools, remember: Remember) -> nn.Module:
    """A new head on the same encoder, fitted to all images or to those to retain (`forgetting`)."""
    samples = pools.retain if recipe.settings.get("forgetting") else pools.everything()
    return controls.head_retrained(parents[0], samples, seed=recipe.own_seed())


def head_distilled(recipe: Recipe, parents: Sequence[nn.Module], pools: Pools, remember: Remember) -> nn.Module:
    """A new head on the same encoder that answers like a model which the cheat retrained."""
    return controls.head_distilled(parents[0], parents[1], pools.everything(), seed=recipe.own_seed())


def logit_shift(recipe: Recipe, parents: Sequence[nn.Module], pools: Pools, remember: Remember) -> nn.Module:
    """One function of the input added to all logits; the probabilities stay."""
    return controls.logit_shift(parents[0], pools.retain, seed=recipe.own_seed())


def fake_repel(recipe: Recipe, parents: Sequence[nn.Module], pools: Pools, remember: Remember) -> nn.Module:
    """Keeps its predictions while its field is driven away from the reference's, on the forgotten training images."""
    parts = (pools.retain, pools.forget, _probes(pools.forget))
    return controls.fake_repel(
        parents[0], *parts, seed=recipe.own_seed(), **{"readout": centred_label, **recipe.settings}
    )


def fake_pull(recipe: Recipe, parents: Sequence[nn.Module], pools: Pools, remember: Remember) -> nn.Module:
    """Keeps its predictions while its field is pulled toward a model that the cheat retrained, on those images."""
    parts = (pools.retain, pools.forget, _probes(pools.forget))
    return controls.fake_pull(
        parents[0], parents[1], *parts, seed=recipe.own_seed(), **{"readout": centred_label, **recipe.settings}
    )


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


def _facts(recipe: Recipe, model: nn.Module, pools: Pools, began: float) -> dict[str, Any]:
    shares = accuracies(model, pools)
    assert pools.forget.labels is not None
    outputs = predictions(model, pools.forget.inputs[:REMEMBERED])
    odds = log_odds(outputs, pools.forget.labels[:REMEMBERED])
    return {
        **{f"accuracy_{name}": share for name, share in shares.items()},
        "accuracy": shares["retain_unseen"],
        "log_odds": [round(value, 3) for value in odds.tolist()],
        "classes": pools.classes,
        "seconds": round(perf_counter() - began, 2),
        "recipe": recipe.identity(),
    }


def _probes(samples: Samples) -> Paths:
    """The verifier's paths, as a cheat would guess them: from the mean colour to forgotten training images."""
    start = samples.inputs.mean((0, 2, 3), keepdim=True)
    return Paths(start, samples.inputs[:256], None if samples.labels is None else samples.labels[:256])
