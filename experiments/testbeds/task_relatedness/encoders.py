"""Taskonomy in small: one encoder-decoder for each of 17 tasks on procedural rooms, all of one architecture.

`initialisation: own` starts every network from weights of its own, as the published encoders did; `shared` starts all
from the same ones, which alone makes their signed fields alike. Each model's facts say how well it learnt its task
and, under `transfer`, what its frozen encoder is worth to every task on held-out scenes: the measured truth.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from experiments.interfaces import Zoo, ZooModel
from experiments.networks.forward import predictions
from experiments.storage.files import make_once
from experiments.storage.weights import load_weights, save_weights
from experiments.testbeds.task_relatedness import transfer
from experiments.testbeds.task_relatedness.rooms import samples as rooms
from experiments.testbeds.task_relatedness.rooms.standardised import Scenes, standardised
from experiments.testbeds.task_relatedness.tasks import FAMILIES, TASKS
from experiments.training.fit import fit
from experiments.training.recipe import Making, Recipe, facts_of, load, prepare, ready, zoo_models

INITIALISATIONS = ("own", "shared")
NOISY = frozenset({"denoising"})
"""Tasks whose encoders are shown noise, and whose transfer is therefore measured on noisy images, from any source."""
NOISES = {"train": 0, "fit": 1, "evaluate": 2}
"""Seeds of the noise: each part of the scenes has its own, which nothing could know by heart."""
PROBES = {"ridge": transfer.ridge, "small_network": transfer.small_network}


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
    probe: str = "ridge",
    tasks: Sequence[str] = TASKS,
    version: int = 3,
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
        data_seed: draws the scenes, of reference points, too (testbed.samples.seed follows).
        probe: what reads targets from frozen features, `ridge` or `small_network`.
        tasks: which of the 17.
        version: of training and transfer, part of every name; raised when these change.

    Raises:
        ValueError: if an option is not known, or fewer than four tasks are asked for.
    """
    for name, value, known in [
        ("initialisation", initialisation, INITIALISATIONS),
        ("probe", probe, tuple(PROBES)),
        ("scale", scale, tuple(rooms.SIZES)),
        *[("tasks", task, TASKS) for task in tasks],
    ]:
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}, not {value!r}")
    if len(set(tasks)) < 4:
        raise ValueError(f"relatedness needs at least four different tasks, not {len(set(tasks))}")
    scenes = partial(standardised, cache=cache, scale=scale, seed=data_seed)
    learn = partial(trained, initialisation=initialisation, zoo=seed, epochs=epochs, rate=rate)
    recipes = [
        Recipe(
            name=task,
            role="encoder",
            architecture=f"encoder{width}",
            folder=Path(cache) / "rooms",
            seed=seed,
            version=version,
            data=partial(scenes, "train"),
            network=partial(encoder, width),
            make=partial(learn, task=task, held_out=partial(scenes, "evaluate")),
            fingerprint=partial(rooms.identity, "train", scale=scale, seed=data_seed),
            command="python -m experiments.prepare testbed=task_relatedness",
        )
        for task in tasks
    ]
    return {recipe.name: _with_transfer(recipe, scenes, probe) for recipe in recipes}


def encoder(width: int, *, seed: int) -> nn.Sequential:
    """Images (n, 3, size, size) in [0, 1] to feature maps (n, width, size / 8, size / 8), not negative; fresh."""
    widths = [(3, 16, 4, 2), (16, 32, 4, 2), (32, 48, 4, 2), (48, 48, 3, 1), (48, 48, 3, 1), (48, width, 1, 1)]
    layers: list[nn.Module] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for ins, outs, kernel, stride in widths:
            convolution = nn.Conv2d(ins, outs, kernel, stride, padding=(kernel - 1) // 2, bias=False)
            layers += [convolution, nn.BatchNorm2d(outs), nn.ReLU()]
    return nn.Sequential(*layers).to(memory_format=torch.channels_last).eval()  # pyright: ignore[reportCallIssue]


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


def trained(
    making: Making,
    *,
    task: str,
    initialisation: str,
    zoo: int,
    epochs: int,
    rate: float,
    held_out: Callable[[], Scenes],
) -> nn.Module:
    """An encoder that learnt its task together with a decoder, which is thrown away; notes the gain of both.

    Args:
        making: its data are the training scenes.
        task: one of the 17.
        initialisation: `own` weights to begin with, or the zoo's, which all encoders share.
        zoo: seed of the shared weights.
        epochs: passes over the scenes.
        rate: peak learning rate.
        held_out: () -> scenes to measure on which share of the mean predictor's error is gone.
    """
    goal = making.data.targets[task]
    first = making.fresh(making.seed if initialisation == "own" else zoo)
    torch.manual_seed(making.seed)
    last = decoder(first[-3].out_channels, goal.shape[1:]).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    network = nn.Sequential(first, last)
    fit(
        network.train(),
        _inputs(making.data.images, task, "train"),
        goal,
        epochs=epochs,
        rate=rate,
        seed=making.seed,
        loss=_loss if task in FAMILIES["2D"] else _loss_under_permuted_colours,
        batch_size=50,
        state=making.state,
    )
    scenes = held_out()
    error = (predictions(network, _inputs(scenes.images, task, "evaluate")) - scenes.targets[task]).square().mean()
    making.notes["gain"] = 1 - error.item()
    return first


def _with_transfer(recipe: Recipe, scenes: Callable[[str], Scenes], probe: str) -> ZooModel:
    """The recipe's model, which is ready once it is also known what it is worth to every task."""
    (model,) = zoo_models(recipe)

    return replace(
        model,
        prepare=partial(_prepare, recipe, scenes, probe),
        ready=partial(_ready, recipe, probe),
        facts=partial(_facts, recipe, probe),
    )


def _worth(recipe: Recipe, probe: str) -> Path:
    """Where the errors of probes on this encoder lie."""
    return recipe.file().with_suffix(f".{probe}.safetensors")


def _ready(recipe: Recipe, probe: str) -> bool:
    return ready(recipe) and _worth(recipe, probe).exists()


def _prepare(recipe: Recipe, scenes: Callable[[str], Scenes], probe: str) -> None:
    prepare(recipe)
    torch.set_num_threads(1)
    make_once(_worth(recipe, probe), partial(_measure, recipe, scenes, probe))


def _measure(recipe: Recipe, scenes: Callable[[str], Scenes], probe: str) -> None:
    save_weights(_worth(recipe, probe), _transfer(load(recipe), scenes, PROBES[probe]), {"probe": probe})


def _facts(recipe: Recipe, probe: str) -> dict[str, Any]:
    errors: dict[str, dict[str, Tensor]] = {}
    for name, values in load_weights(_worth(recipe, probe)).items():
        part, task = name.split("/")
        errors.setdefault(part, {})[task] = values
    return facts_of(recipe) | {"transfer": errors}


def _transfer(network: nn.Module, scenes: Callable[[str], Scenes], probe: transfer.Fit) -> dict[str, Tensor]:
    """Errors on each evaluation scene: with all scenes, and with each half of those to fit and to evaluate on."""
    parts = {"fit": scenes("fit"), "evaluate": scenes("evaluate")}
    halves = {"all": slice(None), "first_half": slice(0, None, 2), "second_half": slice(1, None, 2)}
    found = {}
    for shown in ([task for task in TASKS if task not in NOISY], sorted(NOISY)):
        fitting, judging = (predictions(network, _inputs(x.images, shown[0], part)) for part, x in parts.items())
        for name, half in halves.items():
            targets = {task: tuple(x.targets[task][half] for x in parts.values()) for task in shown}
            errors = transfer.errors((fitting[half], judging[half]), targets, probe=probe)
            found |= {f"{name}/{task}": error for task, error in errors.items()}
    return found


def _inputs(images: Tensor, task: str, part: str) -> Tensor:
    return rooms.noisy(images, NOISES[part]) if task in NOISY else images


def _loss(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    return (model(inputs) - targets).square().mean()


def _loss_under_permuted_colours(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Geometry and classes do not depend on the order of colours, and few scenes are soon known by heart."""
    return _loss(model, inputs[:, torch.randperm(3)], targets)
