"""Models that are known to owe nothing: beside every distance stands what no relation at all would give."""

from functools import partial
from typing import Any

import torch
from torch import nn

from experiments.interfaces import Samples, Zoo, ZooModel
from experiments.networks.reinitialised import reinitialised
from modelgif_core import Paths

MODEL, NULL = "model", "null"
"""Roles: a model that is asked about, and one that is known to owe nothing to any other."""
TWIN, OTHERS = " (new weights)", " (other images)"
"""What a null's name ends with: the same network before any training; the same model, asked about other images."""


def with_nulls(zoo: Zoo, seed: int) -> Zoo:
    """The zoo, and after each model its two nulls; new weights are drawn by the seed."""
    found: dict[str, ZooModel] = {}
    for name, model in zoo.items():
        twin, others = name + TWIN, name + OTHERS
        found[name] = model
        found[twin] = ZooModel(twin, NULL, model.architecture, partial(_twin, model, seed + 1))
        found[others] = ZooModel(others, NULL, model.architecture, model.load, shown=next_images)
    return found


def original(name: str) -> str:
    """The name of the model that a null is made of; a model's own."""
    return name.removesuffix(TWIN).removesuffix(OTHERS)


def next_images(queries: Any) -> Any:
    """The queries in an order in which each stands where the one before it stood, the last where the first did.

    Raises:
        ValueError: if there is one alone, or they are no list of images or paths.
    """
    images = queries.ends if isinstance(queries, Paths) else queries.inputs if isinstance(queries, Samples) else None
    if images is None or len(images) < 2:
        raise ValueError("a null on other images needs two images or paths; leave it out with testbed.zoo.nulls=false")
    order = torch.arange(len(images)).roll(1)
    if isinstance(queries, Paths):
        return queries[order]
    return Samples(images[order], None if queries.labels is None else queries.labels[order])


def _twin(model: ZooModel, seed: int) -> nn.Module:
    return reinitialised(model.load(), seed)
