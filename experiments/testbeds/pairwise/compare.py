"""Any models of one's own, compared by a few lines of Python; `from experiments import compare` gives the function."""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import combinations
from math import isfinite
from pathlib import Path

import pandas as pd
import torch
from hydra.utils import instantiate
from torch import Tensor, nn

from experiments.commands.progress import bar
from experiments.commands.refusal import nearest
from experiments.interfaces import Method, Samples, Zoo, ZooModel
from experiments.job import available
from experiments.measure import measure
from experiments.offers import refuse_unmet
from experiments.samples.image_folder import image_folder
from experiments.storage import configuration
from experiments.storage.files import ROOT
from experiments.storage.identity import fingerprint
from experiments.storage.tables import as_written
from experiments.testbeds.pairwise import networks
from experiments.testbeds.pairwise.facts import DEAD
from experiments.testbeds.pairwise.nulls import MODEL, OTHERS, TWIN, with_nulls
from experiments.testbeds.pairwise.testbed import Pairwise
from modelgif_core.readout import predicted_class
from modelgif_core.view import flat

CONF = ROOT / "conf" / "method"
METHODS = ("modelgif", "agreement", "jsd", "cka_debiased")
"""Fields, labels, probabilities, outputs as features."""


def compare(
    models: Mapping[str, nn.Module | str] | Sequence[str],
    images: Tensor | str | Path,
    *,
    methods: Sequence[str] = METHODS,
    strangers: Sequence[str] | None = None,
    nulls: bool = True,
    max_images: int = 32,
    size: int = 224,
    level: float = 0.05,
    seed: int = 0,
    device: str = "cpu",
    memory_gb: float = 1,
) -> pd.DataFrame:
    """Distances of every two models on the same images: a row for each two, nearest first, columns (method, value).

    Values are those of `testbed=pairwise`: `distance` (0 the same, small is related), `low` and `high` (95 % interval
    over images, NaN where a method has one number for all of them), the nulls `first_twin`, `second_twin` (to a network
    of the same make with new weights) and `other_images`; with strangers `p`, `p_holm`, `p_rank` and `verdict`; and
    `n/a`, why a method cannot compare the two. Models and images are left as they are, their order changes nothing.
    `table.attrs["images"]` names the very images that were drawn and shown, one hash for each, `table.attrs["models"]`
    the very weights, and `table.attrs["metrics"]` holds what a run records, by method (`accused_strangers`: how often
    it errs on them).

    Args:
        models: name -> module, or a text that names one (`timm:resnet18`, `mine.safetensors@timm:resnet18`); or such
            texts alone. Modules take images in [0, 1], with their own normalisation inside, or are shown what their
            `pretrained_cfg` says, as timm's have it; they answer with logits, or features.
        images: (n, colours, height, width) in [0, 1], or a folder of photographs.
        methods: names of `conf/method`, of those that ask for no labels and no source.
        strangers: names of three models or more that are known to owe nothing to the others; two models of one make are
            held against those of that make, and have no verdict with fewer than three.
        nulls: measure them; three times the work.
        max_images: how many are shown, drawn by the seed.
        size: photographs of a folder are cut to squares of so many pixels.
        level: how often each method may call any two models derived though none are; with four methods that is up to
            four times as often by one of them.
        seed: draws images, new weights, and the weights of networks that come without any.
        device: where models and fields are.
        memory_gb: for fields that are held, and as much again for models that stay open.

    Raises:
        ValueError: if a model, a method or the images are not what they should be; says what is allowed.
        FileNotFoundError: if a file of weights is missing.
        OSError: if the device is not to be had.

    >>> from torch import nn
    >>> one, other = (nn.Sequential(nn.Flatten(), nn.Linear(48, 3)) for _ in range(2))
    >>> table = compare({"a": one, "b": other}, torch.rand(4, 3, 4, 4), methods=["agreement"], nulls=False)
    >>> table.index.tolist(), [*table["agreement"]]
    ([('a', 'b')], ['distance', 'low', 'high', 'n/a'])
    """
    for what, given in (("methods", methods), ("strangers", strangers)):
        if isinstance(given, str):
            raise ValueError(f"{what} must be a list of names, not the text {given!r}; take [{given!r}]")
    zoo = _zoo(models, seed)
    if not isinstance(images, Tensor | str | Path):
        raise ValueError(
            "images must be a tensor (n, colours, height, width) in [0, 1], or a folder of photographs, not "
            f"{type(images).__name__}; torch.from_numpy makes a tensor of an array"
        )
    if max_images < 1:
        raise ValueError(f"max_images must be at least 1, not {max_images}")
    pool = _drawn(images, max_images, seed) if isinstance(images, Tensor) else _read(images, max_images, size, seed)
    if nulls and len(pool) < 2:
        raise ValueError("one image leaves no other to show for a null: hand over two or more, or nulls=False")
    whole = with_nulls(zoo, seed) if nulls else zoo
    testbed = Pairwise(whole, Samples(pool), len(pool), predicted_class, flat, strangers, level)
    if not methods:
        raise ValueError("methods are missing; name some of conf/method, such as modelgif")
    ready = {name: _method(name, seed) for name in methods}
    for method in ready.values():  # before the first is measured
        refuse_unmet(method, testbed)
    found = {name: _measured(method, testbed, available(device), memory_gb) for name, method in ready.items()}
    table = pd.concat({name: pairs for name, (pairs, _) in found.items()}, axis=1, names=["method", "value"])
    table = table.sort_values((next(iter(ready)), "distance"), kind="stable")
    table.attrs = {
        "images": testbed.hashes,
        "models": {name: facts.weights for name, facts in testbed.facts.items()},
        "metrics": {name: metrics for name, (_, metrics) in found.items()},
    }
    return table


def _zoo(models: Mapping[str, nn.Module | str] | Sequence[str], seed: int) -> Zoo:
    zoo = {}
    for name, model in _named(models).items():
        if not isinstance(name, str) or not name:
            raise ValueError(f"models must have texts for names, not {name!r}; take {str(name) or 'mine'!r}")
        if name.endswith((TWIN, OTHERS)):
            raise ValueError(f"no model may be named {name!r}: nulls have names that end so; take another name")
        if isinstance(model, str):
            networks.read(model)
            zoo[name] = ZooModel(name, MODEL, networks.architecture(model), partial(networks.load, model, seed))
        elif isinstance(model, nn.Module):
            # A copy, because what is measured is counted, moved, and put into eval mode.
            zoo[name] = ZooModel(name, MODEL, type(model).__name__, partial(networks.shown, model))
        else:
            raise ValueError(f"{name} must be a torch.nn.Module, or a text that names one, not {type(model).__name__}")
    return zoo


def _named(models: Mapping[str, nn.Module | str] | Sequence[str]) -> Mapping[str, nn.Module | str]:
    if isinstance(models, Mapping):
        return models
    if isinstance(models, str) or not isinstance(models, Sequence):
        found = repr(models) if isinstance(models, str) else type(models).__name__
    elif others := [type(model).__name__ for model in models if not isinstance(model, str)]:
        found = f"a list with a {others[0]}"
    else:
        twice = [text for position, text in enumerate(models) if text in models[:position]]
        if twice:
            raise ValueError(f"models name {twice[0]} twice; leave one out, or give both a name: {{'one': ...}}")
        return {text: text for text in models}
    raise ValueError(
        f"models must have names, {{'mine': module, ...}}, or be a list of texts that name them, not {found}"
    )


def _drawn(images: Tensor, count: int, seed: int) -> Tensor:
    """So many of the images; neither their order nor that of those left out changes which."""
    images = images.detach().float().cpu()
    if images.ndim != 4 or len(images) <= count:
        return images
    order = sorted(range(len(images)), key=lambda position: fingerprint(images[position]))
    return images[order][torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:count]]


def _read(folder: str | Path, count: int, size: int, seed: int) -> Tensor:
    return image_folder(root=str(folder), count=None, max_images=count, size=size, seed=seed).inputs


def _method(name: str, seed: int) -> Method:
    files = [file.relative_to(CONF).with_suffix("") for file in sorted(CONF.rglob("*.yaml"))]
    known = [file.as_posix() for file in files if file.parts[0] != "queries"]  # a part of methods
    if name not in known:
        raise ValueError(f"there is no method {name!r}; {nearest(name, known, 'the methods are')}")
    config = configuration.resolved("testbed=pairwise", f"method={name}", f"seed={seed}")
    return instantiate(config["method"], _convert_="all")


def _measured(
    method: Method, testbed: Pairwise, device: torch.device, memory_gb: float
) -> tuple[pd.DataFrame, dict[str, float]]:
    """One method's values of every two models, in the testbed's order, and its metrics.

    Models that it cannot compare say why.
    """
    models = [name for name, model in testbed.zoo.items() if model.role == MODEL]
    every = pd.MultiIndex.from_tuples(combinations(sorted(models), 2), names=["first", "second"])
    reasons = pd.Series([testbed.why_not(pair, method) for pair in every], every, dtype=object)
    table, metrics = pd.DataFrame(columns=["distance", "low", "high"], dtype=float), {}
    if not reasons.all():
        with bar(method.label) as tell:
            distances, _ = measure(testbed, method, device, memory_gb=memory_gb, progress=tell)
        if distances.notna().any(axis=None):
            report = testbed.score(as_written(distances))
            table = report.matrices["pairs"]
            metrics = {key: value for key, value in report.metrics.items() if isfinite(value)}
    table = table.reindex(every)
    table = table.assign(**{"n/a": reasons.mask(table["distance"].isna() & (reasons == ""), DEAD)})
    return table, metrics
