"""One run, from a configuration to its record."""

from pathlib import Path
from time import perf_counter
from typing import Any

import pandas as pd
import torch
from hydra.utils import instantiate

from experiments.commands.progress import bar
from experiments.interfaces import Method, Testbed
from experiments.measure import measure
from experiments.offers import refuse_learnt, refuse_unmet
from experiments.pages.draw import draw
from experiments.prepare import prepare
from experiments.storage import identity, record
from experiments.storage.tables import as_written


def run(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Measure, score, record and draw one configuration; returns the record."""
    torch.set_num_threads(1)
    torch.manual_seed(config["seed"])
    device = available(config["device"])
    testbed: Testbed = instantiate(config["testbed"], _convert_="all")
    method: Method = instantiate(config["method"], _convert_="all")
    refuse_unmet(method, testbed)
    for picture in config["pictures"].values():
        identity.function(picture)  # before any work, not when it is to be drawn
    refuse_learnt(testbed)
    prepare(testbed.zoo, workers=config["workers"])
    began = perf_counter()
    with bar(record.title(config)) as tell:
        sizes = {"chunk": config["chunk"], "memory_gb": config["memory_gb"]}
        distances, cost = measure(testbed, method, device, **sizes, progress=tell)
    distances = as_written(distances)
    table = described(distances, testbed)
    measured = record.keep(folder, table)
    try:
        report = testbed.score(distances)
    except ValueError as error:
        raise ValueError(f"{error} (what was measured lies in {measured})") from error
    report.metrics.update(cost)
    saved = record.save(folder, config, table, report, perf_counter() - began, images=fingerprint(testbed))
    try:
        draw(folder, config["pictures"])
    except (ValueError, OSError) as error:
        remedy = f"python -m experiments.pages.draw {folder} draws them"
        raise OSError(f"the run is recorded, but its pictures are not drawn: {error}; {remedy}") from error
    print(f"{record.title(config)}: {folder}/report.json")
    return saved


def fingerprint(testbed: Testbed) -> str:
    """Names the very images that reference points are drawn from, and that models have learnt from."""
    learnt = {name: model.fingerprint() for name, model in testbed.zoo.items()}
    return identity.digest([identity.described(testbed.samples), learnt])


def refuse_other_images(config: dict[str, Any], finished: dict[str, Any], folder: Path) -> None:
    """Refuse a finished run that was measured on other images than lie where this configuration says."""
    if fingerprint(instantiate(config["testbed"], _convert_="all")) != finished.get("images"):
        there = ", ".join(str(place) for place in record.places(finished["config"]["testbed"]).values())
        raise ValueError(
            f"{folder}/report.json was measured on other images ({there}); take another folder for results, or "
            "rerun=true to measure again and lose that record"
        )


def available(name: str) -> torch.device:
    """The device of that name, if this machine has it."""
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        # Not the settings' fault: it is tried again where the device is.
        raise OSError(f"device {name!r} is not to be had here ({str(error).splitlines()[0]}); try cpu") from error


def described(distances: pd.DataFrame, testbed: Testbed) -> pd.DataFrame:
    """Distances with what is known about each pair in front: roles, architecture, accuracy, mean distance."""
    targets = [testbed.zoo[target] for _, target in distances.index]
    facts = pd.DataFrame(
        {
            "source_role": [testbed.zoo[source].role for source, _ in distances.index],
            "target_role": [model.role for model in targets],
            "architecture": [model.architecture for model in targets],
            "accuracy": [model.facts().get("accuracy") for model in targets],
            "distance": distances.mean(axis=1),
        },
        index=distances.index,
    )
    return pd.concat([facts, distances], axis=1)
