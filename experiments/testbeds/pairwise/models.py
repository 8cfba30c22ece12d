"""The zoo of models that are given, or that are chosen from another zoo."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from experiments.commands.refusal import nearest
from experiments.interfaces import Zoo, ZooModel
from experiments.testbeds.pairwise import networks
from experiments.testbeds.pairwise.nulls import MODEL, with_nulls


def models(*, models: Sequence[str], seed: int, nulls: bool = False) -> Zoo:
    """Models by the texts that name them (`networks.py` says how), in their order.

    Args:
        models: at least two.
        seed: draws the weights of networks that come without any.
        nulls: add of each model one with new weights, and one that is asked about other images.

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
        zoo[text] = ZooModel(
            text,
            MODEL,
            networks.architecture(text),
            partial(networks.load, text, seed),
            fingerprint=partial(networks.content, text),
        )
    return with_nulls(zoo, seed) if nulls else zoo


def chosen(*, of: Mapping[str, ZooModel], roles: Mapping[str, int], strangers: Mapping[str, int], seed: int) -> Zoo:
    """Models of another zoo, whose roles are forgotten; the first ones have nulls, strangers have none.

    Args:
        of: a zoo that is made by training, or is on disk.
        roles: role -> how many of its models, the first ones, are asked about.
        strangers: role -> how many more of its models are to show how near strangers are, of each architecture.
        seed: draws new weights.

    Raises:
        ValueError: if the zoo has not so many models of a role.
    """
    asked = [one for role, count in roles.items() for one in _first(of, role, count)]
    kinds = dict.fromkeys(model.architecture for model in of.values())
    left = {model.name: model for model in of.values() if model not in asked}
    others = [
        one
        for role, count in strangers.items()
        for kind in kinds
        for one in _first(left, role, count, architecture=kind)
    ]
    zoo, rest = ({model.name: replace(model, role=MODEL) for model in models} for models in (asked, others))
    return {**with_nulls(zoo, seed), **rest}


def _first(zoo: Mapping[str, ZooModel], role: str, count: int, *, architecture: str | None = None) -> list[ZooModel]:
    models = [one for one in zoo.values() if one.role == role and architecture in (None, one.architecture)]
    if not models and architecture is None:
        has = nearest(role, sorted({one.role for one in zoo.values()}), "the roles are")
        raise ValueError(f"testbed.zoo.roles: no model has the role {role!r}; {has}")
    if len(models) < count:
        what = f"{role!r}" + (f" and the architecture {architecture}" if architecture else "")
        raise ValueError(f"testbed.zoo: {len(models)} models have the role {what}, not {count}")
    return models[:count]
