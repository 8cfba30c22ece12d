"""The zoo of models that are given, and of what each would be without training."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from torch import nn

from experiments.interfaces import Zoo, ZooModel
from experiments.networks.reinitialised import reinitialised
from experiments.storage.identity import digest
from experiments.testbeds.pairwise import networks

MODEL, NULL = "model", "null"
"""Roles: a model that is asked about, and one that is known to owe nothing to any other."""
TWIN = " (new weights)"
"""What the name of a re-initialised twin ends with."""


def models(*, models: Sequence[str], seed: int, nulls: bool = False) -> Zoo:
    """Models by the texts that name them (`networks.py` says how), in their order.

    Args:
        models: at least two.
        seed: draws the weights of networks that come without any.
        nulls: add of each model a twin with new weights, which is related by its architecture alone.

    Raises:
        ValueError: if there are fewer than two, one is named twice, or a text names no model.
        FileNotFoundError: if a file of weights is missing.
    """
    if len(models) < 2:
        raise ValueError(f"testbed.zoo.models needs at least two models to compare, not {len(models)}")
    twice = [text for position, text in enumerate(models) if text in models[:position]]
    if twice:
        raise ValueError(f"testbed.zoo.models names {twice[0]} twice; leave one out")
    zoo = {}
    for text in models:
        networks.read(text)
        load = partial(networks.load, text, seed)
        kind = networks.architecture(text)
        zoo[text] = ZooModel(text, MODEL, kind, load, fingerprint=partial(_content, text))
        if nulls:
            zoo[text + TWIN] = ZooModel(text + TWIN, NULL, kind, partial(_twin, text, seed))
    return zoo


def _twin(text: str, seed: int) -> nn.Module:
    return reinitialised(networks.load(text, seed), seed + 1)


def _content(text: str) -> str:
    """Names what is in the file of weights; empty without one."""
    weights = networks.read(text).weights
    return "" if weights in (None, networks.PRETRAINED) else digest(Path(weights).read_bytes().hex())
