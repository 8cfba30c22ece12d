"""Searching a hub of many models by their embeddings: python -m benchmarks.hub --sizes 100000,1000000.

Vectors are generated, distances are real: as recorded for the IP-protection zoo. A lineage is a root and nine models
derived of it; a query is a tenth, which the hub has not seen. Left out: product quantisation (LanceDB's index, on disk,
is of this kind), whose codes take minutes to train where those below take seconds, and find no more.
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from math import sqrt
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.preprocessing import normalize

from benchmarks.report import save, timed
from experiments.storage import record

RECORDED = Path(__file__).parent.parent / "results" / "recorded"
KINDS = {"fine-tuned": "finetune", "pruned": "pruning", "transferred": "transfer"}  # and how their roles begin
LINEAGE, NEAREST, ARCHITECTURES = 10, 10, 4
MOST, MOST_IN_A_GRAPH = 600_000_000, 100_000_000  # numbers: in 12 GB; in a graph that faiss builds in minutes
EXPLANATION = (
    "Sketches, scaled to length 1, at distances drawn from those recorded for the IP-protection zoo (mini): lineages "
    f"of {LINEAGE}, {ARCHITECTURES} architectures, derived models a third each fine-tuned, pruned and transferred. "
    "Build: seconds on {cores} cores. Search: one query at a time on one thread, median and 95th percentile. Recall: "
    f"share of the {NEAREST} nearest by exact search that are found. Kin first: share of queries whose nearest model "
    "is of their lineage; what exact search misses is lost in the sketch, not in the engine. Of {queries} queries a "
    "share has a standard error of {error:.2f} at most, one kind's share 1.7 times that."
)


class Recorded(NamedTuple):
    """Distances of each kind of derived model to its origin; mean distances of unrelated models."""

    derived: dict[str, np.ndarray]
    same_architecture: float
    other_architecture: float


class Hub(NamedTuple):
    """Vectors (models, dims) of length 1, roots first; queries like them. Kinds are positions in the recorded ones."""

    vectors: np.ndarray
    lineages: np.ndarray
    queries: np.ndarray
    wanted: np.ndarray  # each query's lineage
    kinds: np.ndarray  # how each query was derived


def recorded() -> Recorded:
    """Distances to the victim, from all recorded seeds.

    Raises:
        FileNotFoundError: if there is no such record.
    """
    found = []
    for folder in sorted(file.parent for file in RECORDED.glob("*/report.json")):
        report = record.finished(folder)
        if report and report["config"]["name"] == "ip_protection" and report["config"]["method"]["label"] == "ModelGiF":
            table = pd.read_csv(folder / "distances.csv")
            victims = table.loc[table["target_role"] == "finetune_a", "architecture"]
            found.append(table.assign(same=table["architecture"].isin(victims)))
    if not found:
        raise FileNotFoundError(f"{RECORDED} has no record of ModelGiF in experiment=ip_protection")
    table = pd.concat(found)
    roles = table["target_role"].str
    derived = {kind: table.loc[roles.startswith(role), "distance"].to_numpy() for kind, role in KINDS.items()}
    unrelated = table[roles.startswith("unrelated")].groupby("same")["distance"].mean()
    return Recorded(derived, float(unrelated[True]), float(unrelated[False]))


def hub(size: int, dims: int, queries: int, distances: Recorded, seed: int = 0) -> Hub:
    """Lineages of ten: a root, and models at recorded distances from it; roots lie as far apart as unrelated models.

    Directions at right angles become, in a sketch, nearly independent Gaussian vectors of mean length 1. These stand
    for directions here, so distances come with the sketch's error.
    """
    draw = np.random.default_rng(seed)
    roots = -(-size // LINEAGE)
    near, far = distances.same_architecture, distances.other_architecture

    def directions(number: int) -> np.ndarray:
        return draw.standard_normal((number, dims), np.float32) / sqrt(dims)

    def derived(parents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        kinds = draw.integers(len(distances.derived), size=len(parents))
        drawn = np.stack([draw.choice(known, len(parents)) for known in distances.derived.values()])
        cosines = (1 - drawn[kinds, np.arange(len(parents))]).astype(np.float32)[:, None]
        return cosines * parents + np.sqrt(1 - cosines**2) * directions(len(parents)), kinds

    shared = sqrt(1 - far) * directions(1) + sqrt(far - near) * directions(ARCHITECTURES)
    starts = shared[np.arange(roots) % ARCHITECTURES] + sqrt(near) * directions(roots)
    vectors = np.empty((size, dims), np.float32)
    vectors[:roots] = normalize(starts)
    for first in range(roots, size, roots):  # a generation at a time, for the memory
        vectors[first : first + roots] = normalize(derived(starts[: size - first])[0])
    wanted = draw.choice(roots, min(queries, roots), replace=False)
    asked, kinds = derived(starts[wanted])
    return Hub(vectors, np.arange(size) % roots, normalize(asked), wanted, kinds)


def engines(size: int, dims: int) -> dict[str, Callable]:
    """The engines for a hub of this size, exact first: vectors -> how to search them, how many bytes they take.

    Raises:
        ModuleNotFoundError: if a library is not installed.
    """
    import faiss
    from usearch.index import Index

    cells = max(1, int(2 * sqrt(size)))

    def by_faiss(vectors: np.ndarray, description: str, **settings: int) -> Any:
        index = faiss.index_factory(dims, description, faiss.METRIC_L2)
        index.train(vectors[:: max(1, size // (40 * cells))])
        index.add(vectors)
        for name, value in settings.items():
            faiss.ParameterSpace().set_index_parameter(index, name, value)
        return lambda query: index.search(query[None], NEAREST)[1][0], lambda: len(faiss.serialize_index(index))

    def by_usearch(vectors: np.ndarray) -> Any:
        index = Index(ndim=dims, metric="l2sq", dtype="i8", expansion_add=64, expansion_search=256)
        index.add(np.arange(size), vectors, threads=faiss.omp_get_max_threads())
        return lambda query: index.search(query, NEAREST, threads=1).keys, lambda: index.serialized_length

    found = {
        "faiss, exact": partial(by_faiss, description="Flat"),
        "faiss, 8 bits": partial(by_faiss, description="SQ8"),
        "faiss, 1 bit": partial(by_faiss, description="RaBitQ"),
        "faiss, 1 bit, the best again by 8": partial(by_faiss, description="RaBitQ,Refine(SQ8)", k_factor_rf=64),
        "faiss, 8 bits in cells": partial(by_faiss, description=f"IVF{cells},SQ8", nprobe=max(1, cells // 16)),
        "usearch, graph, 8 bits": by_usearch,
    }
    graph = partial(by_faiss, description="HNSW32,Flat", efSearch=128)
    return found | ({"faiss, graph": graph} if size * dims <= MOST_IN_A_GRAPH else {})


def measure(content: Hub, cores: int) -> pd.DataFrame:
    """A row for each engine, on one hub; built on some cores, searched on one."""
    import faiss

    size, dims = content.vectors.shape
    exact, rows = (), {}
    for name, build in engines(size, dims).items():
        faiss.omp_set_num_threads(cores)
        (search, weight), seconds = timed(partial(build, content.vectors))
        faiss.omp_set_num_threads(1)
        answers, times = zip(*(timed(partial(search, query)) for query in content.queries), strict=True)
        exact = exact or answers
        kin = content.lineages[[int(answer[0]) for answer in answers]] == content.wanted
        rows[name] = {
            "Build (s)": seconds,
            "Bytes a model": weight() / size,
            "Search (ms)": 1e3 * median(times),
            "95th percentile (ms)": 1e3 * float(np.quantile(times, 0.95)),
            f"Recall at {NEAREST}": np.mean([np.isin(a, b).mean() for a, b in zip(exact, answers, strict=True)]),
            "Kin first": kin.mean(),
        } | {f"Kin first, {kind}": kin[content.kinds == position].mean() for position, kind in enumerate(KINDS)}
        del search, weight  # and with them the index, before the next one is built
        print(f"{size:,} x {dims}: {name}: {1e3 * median(times):.2f} ms, built in {seconds:.0f} s", file=sys.stderr)
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("Engine")


def main(arguments: list[str]) -> int:
    """Measure every engine and write hub.{json,md}."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hub", description=main.__doc__)
    for name, default in {"--sizes": "100000,1000000", "--dims": "512,4096"}.items():
        parser.add_argument(name, type=lambda text: [int(part) for part in text.split(",")], default=default)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--toy", action="store_true", help="a hub that says nothing, in seconds: does it run?")
    chosen = parser.parse_args(arguments)
    if chosen.toy:
        chosen.sizes, chosen.dims, chosen.queries = [2000], [64], 60
    shapes = [(size, dims) for dims in chosen.dims for size in chosen.sizes if size * dims <= MOST]
    if not shapes or min(chosen.dims) < 16 or not 0 < chosen.queries <= min(chosen.sizes) // LINEAGE:
        parser.error(f"dims are at least 16, size x dims at most {MOST:,}, queries at most a tenth of the models")
    tables, cores = {}, torch.get_num_threads()
    try:
        distances = recorded()
        engines(*shapes[0])  # a library may be missing: say so now, not after a million vectors
        for size, dims in shapes:
            heading = f"{size:,} models, {dims} numbers each: relative error of such a sketch {sqrt(2 / dims):.3f}"
            tables[heading] = measure(hub(size, dims, chosen.queries, distances), cores)
    except ModuleNotFoundError as missing:
        parser.exit(2, f"{missing}; pip install -e '.[hub]' -c constraints.txt\n")
    torch.set_num_threads(1)  # as searches had
    explanation = EXPLANATION.format(cores=cores, queries=chosen.queries, error=0.5 / sqrt(chosen.queries))
    settings, name = vars(chosen) | {"cores": cores}, "hub_toy" if chosen.toy else "hub"
    print(save(name, "Searching a hub of models", explanation, tables, settings, arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
