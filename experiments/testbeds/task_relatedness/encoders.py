"""Taskonomy in small: one encoder-decoder for each of 17 tasks on procedural rooms, all of one architecture.

`initialisation: own` starts every network from weights of its own, as the published encoders did; `shared` starts all
from the same ones, which alone makes their signed fields alike. Each model's facts say how well it learnt its task
and, under `transfer`, what its frozen encoder is worth to every task on held-out scenes: the measured truth.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache as remember
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn

from experiments.interfaces import Zoo, ZooModel
from experiments.networks.forward import predictions
from experiments.storage.files import lock
from experiments.storage.identity import digest
from experiments.storage.weights import load_facts, load_weights, save_weights
from experiments.testbeds.task_relatedness import transfer
from experiments.testbeds.task_relatedness.rooms import samples as rooms
from experiments.testbeds.task_relatedness.tasks import FAMILIES, TASKS
from experiments.training.fit import fit

RECIPE_VERSION = 1
"""Part of every file's name; raise it when training or transfer change."""
INITIALISATIONS = ("own", "shared")
READOUTS = {"ridge": transfer.ridge, "small_network": transfer.small_network}


@dataclass(frozen=True)
class Recipe:
    """How one encoder comes about; its digest names the file."""

    task: str
    initialisation: str
    seed: int
    epochs: int
    rate: float
    width: int
    scale: str
    data_seed: int

    def identity(self) -> dict[str, Any]:
        """Everything that the weights depend on."""
        return {"version": RECIPE_VERSION, "generator": rooms.GENERATOR_VERSION, **asdict(self)}


def tasks(
    *,
    cache: str,
    initialisation: str,
    seed: int,
    epochs: int,
    rate: float,
    width: int,
    scale: str,
    data_seed: int = 0,
    readout: str = "ridge",
    tasks: Sequence[str] = TASKS,
) -> Zoo:
    """The zoo of encoders, by task.

    Args:
        cache: folder of scenes and trained models.
        initialisation: `own` or `shared` initial weights.
        seed: draws initial weights and the order of batches, for another zoo of the same make.
        epochs: passes over the training scenes.
        rate: peak learning rate.
        width: channels of the feature map (images, width, size / 8, size / 8).
        scale: how many scenes, `mini` or `mid`.
        data_seed: draws the scenes.
        readout: what reads targets from frozen features, `ridge` or `small_network`.
        tasks: which of the 17.

    Raises:
        ValueError: if an option is not known, or fewer than four tasks are asked for.
    """
    for name, value, known in [
        ("initialisation", initialisation, INITIALISATIONS),
        ("readout", readout, tuple(READOUTS)),
        ("scale", scale, tuple(rooms.SIZES)),
        *[("tasks", task, TASKS) for task in tasks],
    ]:
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}, not {value!r}")
    if len(set(tasks)) < 4:
        raise ValueError(f"relatedness needs at least four different tasks, not {len(set(tasks))}")
    recipes = [Recipe(task, initialisation, seed, epochs, rate, width, scale, data_seed) for task in tasks]
    return {recipe.task: _zoo_model(recipe, Path(cache), readout) for recipe in recipes}


def encoder(width: int) -> nn.Sequential:
    """Images (n, 3, size, size) in [0, 1] to feature maps (n, width, size / 8, size / 8), not negative."""
    widths = [(3, 16, 4, 2), (16, 32, 4, 2), (32, 48, 4, 2), (48, 48, 3, 1), (48, 48, 3, 1), (48, width, 1, 1)]
    layers: list[nn.Module] = []
    for ins, outs, kernel, stride in widths:
        convolution = nn.Conv2d(ins, outs, kernel, stride, padding=(kernel - 1) // 2, bias=False)
        layers += [convolution, nn.BatchNorm2d(outs), nn.ReLU()]
    return nn.Sequential(*layers)


def decoder(width: int, shape: Sequence[int]) -> nn.Sequential:
    """Feature maps to a task's targets of this shape: (channels, size, size), or (numbers,) for a global task."""
    if len(shape) == 1:
        return nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Dropout(0.2), nn.Linear(16 * width, shape[0]))
    return nn.Sequential(
        nn.Conv2d(width, 64, 3, padding=1, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.PixelShuffle(2),
        nn.Conv2d(16, 64, 3, padding=1),
        nn.ReLU(),
        nn.PixelShuffle(2),
        nn.Conv2d(16, shape[0], 3, padding=1),
    )


def _zoo_model(recipe: Recipe, cache: Path, readout: str) -> ZooModel:
    weights = cache / "rooms" / f"{recipe.task}-{digest(recipe.identity())}.safetensors"
    worth = weights.with_suffix(f".{readout}.safetensors")
    return ZooModel(
        recipe.task,
        "encoder",
        f"encoder{recipe.width}",
        load=partial(_load, recipe, weights),
        prepare=partial(_prepare, recipe, cache, weights, worth, readout),
        ready=lambda: weights.exists() and worth.exists(),
        facts=partial(_facts, weights, worth),
    )


def _load(recipe: Recipe, file: Path) -> nn.Sequential:
    if not file.exists():
        raise FileNotFoundError(f"{file} is missing; python -m experiments.prepare testbed=task_relatedness makes it")
    network = encoder(recipe.width)
    weights = load_weights(file)
    network.load_state_dict({key.removeprefix("0."): value for key, value in weights.items() if key.startswith("0.")})
    return network.to(memory_format=torch.channels_last).eval()  # pyright: ignore[reportCallIssue]


def _facts(weights: Path, worth: Path) -> dict[str, Any]:
    errors: dict[str, dict[str, Tensor]] = {}
    for name, values in load_weights(worth).items():
        part, task = name.split("/")
        errors.setdefault(part, {})[task] = values
    return load_facts(weights) | {"transfer": errors}


def _prepare(recipe: Recipe, cache: Path, weights: Path, worth: Path, readout: str) -> None:
    torch.set_num_threads(1)
    with lock(weights):
        if not weights.exists():
            _train(recipe, cache, weights)
        if not worth.exists():
            measured = _transfer(recipe, cache, _load(recipe, weights), READOUTS[readout])
            save_weights(worth, measured, {"readout": readout})


def _train(recipe: Recipe, cache: Path, file: Path) -> None:
    began = perf_counter()
    images, targets = _standardised("train", cache, recipe.scale, recipe.data_seed)
    goal = targets[recipe.task]
    network = _fresh(recipe, goal.shape[1:])
    torch.manual_seed(_seed(recipe))
    fit(
        network.train(),
        _inputs(images, recipe.task),
        goal,
        epochs=recipe.epochs,
        rate=recipe.rate,
        seed=_seed(recipe),
        loss=_loss if recipe.task in FAMILIES["2D"] else _loss_under_permuted_colours,
        batch_size=50,
    )
    images, targets = _standardised("evaluate", cache, recipe.scale, recipe.data_seed)
    error = (predictions(network, _inputs(images, recipe.task)) - targets[recipe.task]).square().mean()
    facts = {"gain": 1 - error.item(), "seconds": round(perf_counter() - began, 2), **recipe.identity()}
    save_weights(file, network.state_dict(), facts)


def _transfer(recipe: Recipe, cache: Path, network: nn.Module, readout: transfer.Fit) -> dict[str, Tensor]:
    """Errors on each evaluation scene: with all scenes, and with each half of those to fit and to evaluate on."""
    (fit_images, known), (eval_images, wanted) = (
        _standardised(part, cache, recipe.scale, recipe.data_seed) for part in ("fit", "evaluate")
    )
    maps = predictions(network, fit_images), predictions(network, eval_images)
    halves = {"all": slice(None), "first_half": slice(0, None, 2), "second_half": slice(1, None, 2)}
    return {
        f"{name}/{task}": errors
        for name, half in halves.items()
        for task, errors in transfer.errors(
            (maps[0][half], maps[1][half]),
            {task: (known[task][half], wanted[task][half]) for task in TASKS},
            readout=readout,
        ).items()
    }


def _inputs(images: Tensor, task: str) -> Tensor:
    return rooms.noisy(images, 0) if task == "denoising" else images


@remember
def _standardised(part: str, cache: Path, scale: str, seed: int) -> tuple[Tensor, dict[str, Tensor]]:
    """Images and residuals of the targets from the mean map of the training scenes, with mean square 1 there.

    Numbers of geometric tasks have units of their own and are scaled one by one; the channels of any other task
    together, lest the rarest class weigh most.
    """
    train = rooms.load("train", cache=str(cache), scale=scale, seed=seed)
    here = rooms.load(part, cache=str(cache), scale=scale, seed=seed)
    residuals = {}
    for task in TASKS:
        mean = train.targets[task].float().mean(0)
        spread = (train.targets[task].float() - mean).square()
        size = spread.mean(0, keepdim=True) if task in FAMILIES["geometric"] else spread.mean()
        residuals[task] = (here.targets[task].float() - mean) / size.sqrt().clamp_min(1e-6)
    return here.images, residuals


def _fresh(recipe: Recipe, shape: Sequence[int]) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_seed(recipe) if recipe.initialisation == "own" else recipe.seed)
        first = encoder(recipe.width)
        torch.manual_seed(_seed(recipe))
        return nn.Sequential(first, decoder(recipe.width, shape)).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def _loss(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return (model(inputs) - targets).square().mean()


def _loss_under_permuted_colours(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Geometry and classes do not depend on the order of colours, and few scenes are soon known by heart."""
    return _loss(model, inputs[:, torch.randperm(3)], targets)


def _seed(recipe: Recipe) -> int:
    return int(digest(recipe.identity()), 16) % 2**31
