"""Seconds and memory against models, references, steps and pixels: python -m benchmarks.scaling.

Each is doubled from 1x to 8x while the others stay, for all-pairs distances as `run.py` measures them and for
embeddings of fixed size. Every size is measured in a process of its own, so that nothing of an earlier one is left.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from itertools import combinations
from multiprocessing import get_all_start_methods, get_context
from statistics import mean
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn

from benchmarks.report import memory_growth, save, timed
from experiments.interfaces import Method, Offered, Pair, Report, Samples, Zoo, ZooModel
from experiments.measure import measure
from experiments.memory import held, return_freed_memory, reuse_freed_memory
from experiments.queries.paths import paths
from experiments.queries.samples import random_samples
from experiments.queries.starts import mean_colour
from modelgif_core import cosine, embed, extract_field, pairwise_cosine, sketch_distances
from modelgif_core.readout import Readout, predicted_class
from modelgif_core.view import View, flat

FACTORS, QUICK_FACTORS = (1, 2, 4, 8), (1, 8)
CHUNK = 8
QUERIES = partial(paths, choose=partial(random_samples, seed=0), start=mean_colour)


@dataclass(frozen=True)
class Size:
    """One piece of work; grey images are as wide as high, or twice as wide."""

    models: int
    references: int
    steps: int
    pixels: int


FULL = Size(models=4, references=32, steps=25, pixels=800)
QUICK = Size(models=2, references=4, steps=4, pixels=64)
WARM_UP = Size(models=2, references=32, steps=16, pixels=64)
"""Small, but a whole batch on a folded network: what libraries load at first use belongs to no size."""


@dataclass(frozen=True)
class AllPairs:
    """Every model with every other; nothing is scored."""

    zoo: Zoo
    samples: Samples
    budget: int
    readout: Readout = predicted_class
    view: View = flat
    tested_roles: frozenset[str] = frozenset()
    offers: frozenset[str] = frozenset()

    def pairs(self) -> list[Pair]:
        """Each pair once."""
        return list(combinations(self.zoo, 2))

    def score(self, distances: pd.DataFrame) -> Report:
        """No verdict."""
        return Report({})


def network(seed: int) -> nn.Module:
    """A convolutional network with BatchNorm for grey images of any size; random weights, ten classes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        first = [nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()]
        second = [nn.Conv2d(8, 16, 3, 2, padding=1), nn.BatchNorm2d(16), nn.ReLU()]
        return nn.Sequential(*first, *second, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)).eval()


def testbed(size: Size) -> AllPairs:
    """Random networks and random images."""
    names = [f"network-{number}" for number in range(size.models)]
    zoo = {name: ZooModel(name, "any", "conv", partial(network, number)) for number, name in enumerate(names)}
    height = int((size.pixels if _square(size.pixels) else size.pixels / 2) ** 0.5)
    images = torch.rand(size.references, 1, height, size.pixels // height, generator=torch.Generator().manual_seed(0))
    return AllPairs(zoo, Samples(images), size.references)


def all_pairs(place: AllPairs, steps: int) -> None:
    """Distances of all pairs, through the one loop that every experiment runs."""
    extract = partial(extract_field, steps=steps)
    method = Method(QUERIES, extract, cosine, "input-gradient", steps=steps, pairwise=pairwise_cosine)
    measure(place, method, torch.device("cpu"), chunk=CHUNK)


def embeddings(place: AllPairs, steps: int) -> None:
    """A vector for each model, as `experiments.embed` makes them, then distances of all pairs of vectors."""
    shown = QUERIES(Offered(place.samples, place.budget))
    reuse_freed_memory()
    found = []
    for model in place.zoo.values():
        found.append(embed(model.load(), shown, steps=steps, chunk=CHUNK))
        return_freed_memory()
    sketch_distances(found)


WAYS: dict[str, Callable[[AllPairs, int], None]] = {"all pairs": all_pairs, "embeddings": embeddings}


class Cost(NamedTuple):
    """Mean seconds; memory (GB) above what the process holds before: the most, and what is left at the end."""

    seconds: float
    most: float
    left: float


def cost(way: str, size: Size, repeats: int) -> Cost:
    """What the work takes; for a fresh process."""
    torch.set_num_threads(1)
    WAYS[way](testbed(WARM_UP), WARM_UP.steps)
    work = partial(WAYS[way], testbed(size), size.steps)
    seconds: list[float] = []
    before = held()
    most = max(memory_growth(lambda: seconds.append(timed(work)[1])) for _ in range(repeats))
    return Cost(mean(seconds), most, held() - before)


@cache
def alone(way: str, size: Size, repeats: int) -> Cost:
    """The cost, measured in a new process; once for what all axes start from."""
    # A fork server imports torch once and does nothing else; what it forks is as empty as a spawned process.
    context = get_context("forkserver" if "forkserver" in get_all_start_methods() else "spawn")
    if context.get_start_method() == "forkserver":
        context.set_forkserver_preload(["benchmarks.report", "experiments.queries.samples"])
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(cost, way, size, repeats).result()


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Slope of log value against log size by least squares: 1 linear, 2 quadratic, 0 constant.

    >>> round(exponent([1, 2, 4], [3.0, 12.0, 48.0]), 6)
    2.0
    """
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def grow(axis: str, base: Size, factors: Sequence[int], repeats: int) -> pd.DataFrame:
    """One axis: a row for each size; what both ways take."""
    rows = {}
    for factor in factors:
        size = replace(base, **{axis: getattr(base, axis) * factor})
        found = {way: alone(way, size, repeats) for way in WAYS}
        rows[getattr(size, axis)] = (
            {f"Seconds, {way}": taken.seconds for way, taken in found.items()}
            | {f"Memory (GB), {way}": taken.most for way, taken in found.items()}
            | {f"Left (GB), {way}": taken.left for way, taken in found.items()}
        )
        told = ", ".join(f"{way} {taken.seconds:.2f} s" for way, taken in found.items())
        print(f"{axis} {factor}x: {told}", file=sys.stderr)
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(axis.capitalize())


def growth(table: pd.DataFrame) -> dict[str, float]:
    """What an axis's table comes to: exponents of seconds, and how many times the memory of 1x is that of 8x."""
    sizes = [float(size) for size in table.index]
    found = {f"Exponent of seconds, {way}": exponent(sizes, table[f"Seconds, {way}"].tolist()) for way in WAYS}
    memory = {way: table[f"Memory (GB), {way}"] for way in WAYS}
    named = f"Growth of memory from {FACTORS[0]}x to {FACTORS[-1]}x"
    # Work too small for the system's pages has no growth.
    times = {way: gb.iloc[-1] / gb.iloc[0] if gb.iloc[0] > 0 else float("nan") for way, gb in memory.items()}
    return found | {f"{named}, {way}": value for way, value in times.items()}


def main(arguments: list[str]) -> int:
    """Measure every axis and write scaling.{json,md}."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=main.__doc__)
    parser.add_argument("--quick", action="store_true", help="sizes that say nothing, in seconds: does it run?")
    quick = parser.parse_args(arguments).quick
    base, factors, repeats = (QUICK, QUICK_FACTORS, 1) if quick else (FULL, FACTORS, 2)
    axes = {axis: grow(axis, base, factors, repeats) for axis in asdict(base)}
    whole = pd.DataFrame.from_dict({axis.capitalize(): growth(table) for axis, table in axes.items()}, orient="index")
    explanation = (
        f"A generated zoo of small convolutional networks; 1x is {base.models} models, {base.references} references, "
        f"{base.steps} steps and {base.pixels} pixels, and one of these grows at a time. Seconds: mean of {repeats}, "
        f"one thread, {CHUNK} paths of 50 steps held at a time. Memory: the most that a fresh process held above what "
        "it held before, and what of it is left at the end. Some megabytes of the most are the allocator's: peaks of "
        "the same work, repeated, creep up with blocks of other sizes in between, and little is left. The exponent is "
        "the slope of log seconds against log size: 1 is linear, 2 quadratic. Pairs grow with the square of the "
        "models, fields with their number."
    )
    tables = {"All axes": whole.rename_axis("Axis")} | {axis.capitalize(): table for axis, table in axes.items()}
    settings = {"1x": asdict(base), "factors": factors, "chunk": CHUNK, "repeats": repeats, "quick": quick}
    print(save("scaling", "How cost grows", explanation, tables, settings, arguments))
    return 0


def _square(number: int) -> bool:
    return round(number**0.5) ** 2 == number


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
