"""Searching a hub of many models by their embeddings: python -m benchmarks.hub --sizes 100000,1000000.

Vectors are generated, distances are real: of derived and of unrelated models to the one that they are held against, as
recorded for the IP-protection zoo. A lineage is a root and nine models derived of it; a query is a tenth, which the hub
has not seen. Engines: faiss and usearch, both in memory; LanceDB's index is of faiss's kind (IVF-PQ), on disk.
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from benchmarks.report import save, timed
from experiments import record

RECORDED = Path(__file__).parent.parent / "results" / "recorded"
LINEAGE, NEAREST = 10, 10
EXPLANATION = (
    "Unit vectors whose distances are drawn from those recorded with ModelGiF in the IP-protection zoo (mini); ten "
    "models a lineage. Build: seconds on all cores. Search: one query at a time on one thread, median and 95th "
    f"percentile. Recall: share of the true {NEAREST} nearest that are found. Kin first: share of queries whose "
    "nearest model is of their own lineage; what the exact search misses, the distances do not tell. "
)
Search = Callable[[np.ndarray], np.ndarray]


class Recorded(NamedTuple):
    """Distances to the victim."""

    derived: np.ndarray
    unrelated: np.ndarray


class Hub(NamedTuple):
    """Vectors (models, dims), queries (queries, dims), and the lineage of each."""

    vectors: np.ndarray
    lineages: np.ndarray
    queries: np.ndarray
    wanted: np.ndarray


def recorded() -> Recorded:
    """Distances of fine-tuned, pruned and transferred models, and of unrelated ones, from all recorded seeds.

    Raises:
        FileNotFoundError: if there is no such record.
    """
    found = []
    for folder in sorted(RECORDED.iterdir()):
        report = record.finished(folder)
        if report and report["config"]["name"] == "ip_protection" and report["config"]["method"]["label"] == "ModelGiF":
            found.append(pd.read_csv(folder / "distances.csv"))
    if not found:
        raise FileNotFoundError(f"{RECORDED} has no record of ModelGiF in experiment=ip_protection")
    table = pd.concat(found)
    kept = table["target_role"].str.startswith(("finetune", "prune", "transfer"))
    unrelated = table["target_role"].str.startswith("unrelated")
    return Recorded(*(table.loc[rows, "distance"].to_numpy() for rows in (kept, unrelated)))


def hub(size: int, dims: int, queries: int, distances: Recorded, seed: int = 0) -> Hub:
    """Lineages of ten: a root, and models at recorded distances from it; roots lie as far apart as unrelated models."""
    draw = np.random.default_rng(seed)
    roots = -(-size // LINEAGE)
    common = _unit(draw.standard_normal(dims, dtype=np.float32))
    near = np.sqrt((1 - draw.choice(distances.unrelated, roots)).clip(0, 1)).astype(np.float32)[:, None]
    starts = near * common + np.sqrt(1 - near**2) * _across(draw.standard_normal((roots, dims), np.float32), common)

    def derived(lineages: np.ndarray) -> np.ndarray:
        parents = starts[lineages]
        cosines = (1 - draw.choice(distances.derived, len(lineages))).astype(np.float32)[:, None]
        sideways = _across(draw.standard_normal(parents.shape, np.float32), parents)
        return cosines * parents + np.sqrt(1 - cosines**2) * sideways

    lineages = np.arange(size) % roots
    vectors = np.concatenate([starts, derived(lineages[roots:])])[:size]
    wanted = draw.choice(roots, min(queries, roots), replace=False)
    return Hub(vectors, lineages, derived(wanted), wanted)


def engines(dims: int, size: int) -> dict[str, Callable[[np.ndarray], tuple[Search, int]]]:
    """Name -> vectors -> how to search them, and the bytes that a model takes, nearly.

    Raises:
        ModuleNotFoundError: if an engine is not installed.
    """
    import faiss
    from usearch.index import Index

    cells = int(4 * size**0.5)
    probes = max(1, cells // 32)

    def by_faiss(description: str, **settings: int) -> Callable[[np.ndarray], tuple[Search, int]]:
        def build(vectors: np.ndarray) -> tuple[Search, int]:
            index = faiss.index_factory(dims, description, faiss.METRIC_L2)
            index.train(vectors[:: max(1, len(vectors) // (64 * cells))])
            index.add(vectors)
            for name, value in settings.items():
                faiss.ParameterSpace().set_index_parameter(index, name, value)
            return lambda query: index.search(query[None], NEAREST)[1][0], len(faiss.serialize_index(index)) // size

        return build

    def by_usearch(dtype: str) -> Callable[[np.ndarray], tuple[Search, int]]:
        def build(vectors: np.ndarray) -> tuple[Search, int]:
            index = Index(ndim=dims, metric="l2sq", dtype=dtype)
            index.add(np.arange(len(vectors)), vectors)
            return lambda query: index.search(query, NEAREST, threads=1).keys, index.serialized_length // size

        return build

    return {
        "faiss, exact": by_faiss("Flat"),
        "faiss, 8 bits, cells": by_faiss(f"IVF{cells},SQ8", nprobe=probes),
        "faiss, 4 bits, cells": by_faiss(f"IVF{cells},SQ4", nprobe=probes),
        "faiss, graph": by_faiss("HNSW32,Flat", efSearch=128),
        "usearch, bfloat16 graph": by_usearch("bf16"),
        "usearch, 8-bit graph": by_usearch("i8"),
    }


def measure(content: Hub, chosen: list[str] | None = None) -> pd.DataFrame:
    """A row for each engine, on one hub."""
    import faiss

    size, dims = content.vectors.shape
    threads = faiss.omp_get_max_threads()
    exact: list[np.ndarray] = []
    rows: dict[str, dict[str, Any]] = {}
    for name, build in engines(dims, size).items():
        if chosen and name not in chosen:
            continue
        faiss.omp_set_num_threads(threads)
        (search, weight), seconds = timed(partial(build, content.vectors))
        faiss.omp_set_num_threads(1)
        answers, times = zip(*(timed(partial(search, query)) for query in content.queries), strict=True)
        exact = exact or list(answers)  # the first is exact
        rows[name] = {
            "Build (s)": seconds,
            "Bytes a model": weight,
            "Search (ms)": 1e3 * median(times),
            "95th percentile (ms)": 1e3 * float(np.quantile(times, 0.95)),
            f"Recall at {NEAREST}": np.mean(
                [len(set(a) & set(b)) / NEAREST for a, b in zip(answers, exact, strict=True)]
            ),
            "Kin first": np.mean(
                [content.lineages[int(a[0])] == w for a, w in zip(answers, content.wanted, strict=True)]
            ),
        }
        print(f"{size:,} models: {name}: {rows[name]['Search (ms)']:.2f} ms, built in {seconds:.0f} s", file=sys.stderr)
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("Engine")


def main(arguments: list[str]) -> int:
    """Measure every engine and write results/benchmarks/hub.{json,md}."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hub", description=main.__doc__)
    parser.add_argument("--sizes", type=lambda text: [int(part) for part in text.split(",")], default="100000,1000000")
    parser.add_argument("--dims", type=int, default=512)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument(
        "--engines", type=lambda text: text.split(";"), help="some of them, by name, ; between; exact first"
    )
    chosen = parser.parse_args(arguments)
    if min(chosen.sizes) < 4 * LINEAGE**2 or chosen.dims < 64 or chosen.dims % 64:
        parser.error(f"--sizes must be at least {4 * LINEAGE**2}, --dims a multiple of 64")
    try:
        distances = recorded()
        tables = {
            f"{size:,} models, {chosen.dims} numbers each": measure(
                hub(size, chosen.dims, chosen.queries, distances), chosen.engines
            )
            for size in chosen.sizes
        }
    except ModuleNotFoundError as missing:
        parser.error(f"{missing}; pip install -e '.[hub]' -c constraints.txt")
    except FileNotFoundError as missing:
        parser.error(str(missing))
    sketch = f"A sketch of {chosen.dims} numbers has a relative error of {(2 / chosen.dims) ** 0.5:.3f} of its own."
    print(save("hub", "Searching a hub of models", EXPLANATION + sketch, tables, vars(chosen)))
    return 0


def _across(vectors: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Unit vectors at a right angle to unit directions."""
    return _unit(vectors - (vectors * directions).sum(-1, keepdims=True) * directions)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
