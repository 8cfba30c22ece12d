"""What comparing six networks at full size takes: python -m benchmarks.pairwise.

As `run.py experiment=pairwise` compares them: 32 photographs of 224 x 224 pixels, fresh weights, nulls left out. Every
method is measured in a process of its own, whose whole memory counts, and whose processor's seconds: others may be at
work on the machine.
"""

import argparse
import resource
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from time import process_time

import pandas as pd
import torch
from hydra.utils import instantiate

from benchmarks.report import save
from experiments.measure import measure
from experiments.storage.configuration import resolved

NETWORKS = (
    "lcnet_050",
    "levit_128s",
    "mobilenetv3_small_100",
    "regnetx_002",
    "resnet10t",
    "tinynet_e",
)
METHODS = ("modelgif", "path_potential", "agreement", "jsd", "cka_penultimate", "nearest_layer")
QUICK_NETWORKS, QUICK_METHODS = ("test_resnet", "test_vit"), ("modelgif", "agreement")
BOUND = 3.0
"""GB that the whole process may take."""


def cost(
    method: str, networks: Sequence[str], images: int, size: int, steps: int, memory_gb: float
) -> dict[str, float]:
    """What one method takes to compare the networks; for a fresh process."""
    torch.set_num_threads(1)
    stepped = [f"method.represent.steps={steps}"] if method in ("modelgif", "path_potential") else []
    config = resolved(
        "experiment=pairwise",
        f"method={method}",
        f"testbed.zoo.models=[{','.join(f'timm:{name}' for name in networks)}]",
        "testbed.zoo.nulls=false",
        f"testbed.samples.count={images}",
        f"testbed.samples.size={size}",
        f"testbed.budget={images}",
        *stepped,
    )
    testbed, method_ = (instantiate(config[part], _convert_="all") for part in ("testbed", "method"))
    began = process_time()
    table, spent = measure(testbed, method_, torch.device("cpu"), chunk=config["chunk"], memory_gb=memory_gb)
    testbed.score(table)
    return {
        "Seconds": process_time() - began,
        "Memory (GB)": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
        "Gradients a model": spent["cost/gradient_per_model"],
        "Forwards a model": spent["cost/forward_per_model"],
        "Pairs": len(table),
    }


def alone(*what: object) -> dict[str, float]:
    """The cost, measured in a new process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(cost, *what).result()  # pyright: ignore[reportArgumentType]


def main(arguments: list[str]) -> int:
    """Measure every method and write pairwise.{json,md}; 1 if one takes more memory than it may."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pairwise", description=main.__doc__)
    parser.add_argument("--quick", action="store_true", help="sizes that say nothing, in seconds: does it run?")
    parser.add_argument("--steps", type=int, default=8, help="gradients on each path (%(default)s)")
    parser.add_argument("--networks", nargs="+", default=NETWORKS, help="of timm")
    parser.add_argument("--memory", type=float, default=1, help="memory_gb of the run (%(default)s)")
    chosen = parser.parse_args(arguments)
    networks, methods = (QUICK_NETWORKS, QUICK_METHODS) if chosen.quick else (chosen.networks, METHODS)
    images, size, steps = (4, 32, 2) if chosen.quick else (32, 224, chosen.steps)
    rows = {}
    for name in methods:
        rows[name] = alone(name, networks, images, size, steps, chosen.memory)
        print(f"{name}: {rows[name]['Seconds']:.1f} s, {rows[name]['Memory (GB)']:.2f} GB", file=sys.stderr)
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("Method")
    most = table["Memory (GB)"].max()
    explanation = (
        f"{len(networks)} timm networks with fresh weights ({', '.join(networks)}), {images} photographs of {size} x "
        f"{size} pixels, {steps} steps on every path, every two models and each with itself, "
        f"`memory_gb={chosen.memory:g}`, no nulls (they are three times the work). More steps take more time and no "
        "more memory, because fewer paths are held at a time. Seconds: of one processor. Memory: the most that the "
        "whole process held, libraries and models included. Gradients and forwards a model do not grow with the number "
        f"of models: each makes one pass, and its answers are compared with everybody's. At most {BOUND:g} GB: "
        f"{'yes' if most <= BOUND else 'no'} ({most:.2f})."
    )
    settings = {"networks": networks, "images": images, "size": size, "steps": steps, "memory_gb": chosen.memory}
    name = "pairwise_quick" if chosen.quick else "pairwise"
    print(save(name, "Comparing any models, two by two", explanation, {"Methods": table}, settings, arguments))
    return int(most > BOUND)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
