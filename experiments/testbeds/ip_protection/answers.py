"""What a model answers on images that nobody trains on, kept beside its weights: how like the victim it is.

Fidelity is a fact of a model as its accuracy is, known before any method is scored.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from experiments.interfaces import Samples, ZooModel
from experiments.networks.forward import predictions
from experiments.storage.files import make_once
from experiments.storage.identity import described, digest
from experiments.storage.weights import checksum, load_facts, load_weights, save_weights
from experiments.training.recipe import Recipe, facts_of, load, prepare, ready, zoo_models


def with_fidelity(recipe: Recipe, victim: Recipe, images: Callable[[], Samples]) -> Iterator[ZooModel]:
    """The recipe's models, ready once their answers are known; their facts say how like the victim's they are.

    Args:
        recipe: of models with the victim's classes.
        victim: of the victim.
        images: () -> what all answer; no model of the zoo was trained on them.
    """
    for model in zoo_models(recipe):
        yield replace(
            model,
            prepare=partial(_prepare, recipe, victim, images),
            ready=partial(_ready, recipe, victim, images),
            facts=partial(_facts, recipe, model.epoch, victim, images),
        )


def likeness(answers: Tensor, others: Tensor) -> dict[str, float]:
    """How like two models answer, by their probabilities (images, classes).

    `fidelity` is the share of images with the same label (0 to 1, 1 if all), as Jagielski et al. (USENIX Security 2020)
    call it; `divergence` the mean Jensen-Shannon divergence in bits (0 the same to 1).

    >>> likeness(torch.tensor([[1.0, 0.0], [0.5, 0.5]]), torch.tensor([[0.0, 1.0], [0.5, 0.5]]))
    {'fidelity': 0.5, 'divergence': 0.5}
    """
    from scipy.spatial.distance import jensenshannon  # only here: composing a zoo needs none

    with np.errstate(invalid="ignore"):  # of nearly equal answers rounding may leave a tiny negative number
        divergence = np.nan_to_num(jensenshannon(answers.numpy(), others.numpy(), base=2, axis=1)) ** 2
    return {
        "fidelity": float((answers.argmax(1) == others.argmax(1)).double().mean()),
        "divergence": float(divergence.mean()),
    }


def _file(recipe: Recipe, epoch: int | None, images: Callable[[], Samples]) -> Path:
    return recipe.file(epoch).with_suffix(f".answers-{_named(images)}.safetensors")


@lru_cache(maxsize=8)
def _named(images: Callable[[], Samples]) -> str:
    return digest(described(images().inputs))


def _all(recipe: Recipe, victim: Recipe) -> list[tuple[Recipe, int | None]]:
    return [(victim, None), *((recipe, epoch) for epoch in (*recipe.checkpoints, None))]


def _ready(recipe: Recipe, victim: Recipe, images: Callable[[], Samples]) -> bool:
    return ready(recipe) and all(_file(*one, images).exists() for one in _all(recipe, victim))


def _prepare(recipe: Recipe, victim: Recipe, images: Callable[[], Samples]) -> None:
    for one, epoch in _all(recipe, victim):
        prepare(one)
        torch.set_num_threads(1)
        make_once(_file(one, epoch, images), partial(_answer, one, epoch, images))


def _answer(recipe: Recipe, epoch: int | None, images: Callable[[], Samples]) -> None:
    probabilities = predictions(load(recipe, epoch), images().inputs).softmax(1)
    given_by = {"model": recipe.name, "weights": checksum(recipe.file(epoch))}
    save_weights(_file(recipe, epoch, images), {"probabilities": probabilities}, given_by)


def _facts(recipe: Recipe, epoch: int | None, victim: Recipe, images: Callable[[], Samples]) -> dict[str, Any]:
    facts = facts_of(recipe, epoch)
    return facts | likeness(_answers(recipe, epoch, images), _answers(victim, None, images))


def _answers(recipe: Recipe, epoch: int | None, images: Callable[[], Samples]) -> Tensor:
    file = _file(recipe, epoch, images)
    answers = load_weights(file)["probabilities"]
    if load_facts(file).get("weights") != checksum(recipe.file(epoch)):
        raise ValueError(f"{file} holds what other weights answered; delete it and run again: it is made anew")
    return answers
