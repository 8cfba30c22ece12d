"""Our extractor beside a plain one, in one run and in alternation: python -m benchmarks.field.

The plain one does what the published protocol does with captum's machinery: two reference points at a time, all steps
of both in one batch, gradients of the chosen output by `captum.attr`'s gradient function, running sum times direction.
Both hand back the same fields. Arithmetic counts as torch counts it; its share is of the largest rate that a matrix
product reaches on this machine, measured in the same run.
"""

import argparse
import sys
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from statistics import median
from typing import Any

import pandas as pd
import torch
from captum._utils.gradient import compute_gradients
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.report import memory_growth, save, timed
from modelgif_core import Fast, Field, Paths, cosine, extract_field
from modelgif_core.quadrature import gauss_legendre

STEPS = 50
EXPLANATION = (
    "Fields of 50 steps with float32 on one thread, plain (captum, two references a batch, as published) and ours, "
    "in alternation; medians over repeats, the speed-up with its range. GFLOP/s from torch's count of one gradient; "
    "share of the rate of a large matrix product measured in the same run. Error: length of the difference from the "
    "field in double precision, over that field's length, on one path. Memory: the most that the process held above "
    "what it held before. bfloat16: ours with its products in it (`Fast`), and by how much that changes the field: "
    "1 - cosine, with random weights, which is more than with trained ones. The last columns: where our time "
    "goes, as shares."
)


def networks() -> dict[str, tuple[Callable[[], nn.Module], int, int]]:
    """Name -> how to build it, side of its images, references to measure with."""
    import timm
    import torchvision.models as zoo

    from experiments.networks.resnet_cifar import resnet

    vit = partial(timm.create_model, "vit_tiny_patch16_224", img_size=32, patch_size=4, num_classes=10)
    return {
        "ResNet-20": (partial(resnet, 20, classes=10, seed=0), 32, 16),
        "VGG-16-BN": (partial(zoo.vgg16_bn, num_classes=10), 32, 4),
        "MobileNetV2": (partial(zoo.mobilenet_v2, num_classes=10), 32, 16),
        "DenseNet-121": (partial(zoo.densenet121, num_classes=10), 32, 8),
        "ViT-Ti/4": (vit, 32, 4),
        "ResNet-50": (partial(zoo.resnet50, num_classes=10), 128, 2),
    }


def plain_field(model: nn.Module, paths: Paths, *, steps: int = STEPS) -> Field:
    """The field (paths, steps, dims) of each path's predicted class, by captum, two paths a batch."""
    nodes, weights = gauss_legendre(steps)
    parts = []
    for pair in paths.split(2):
        with torch.no_grad():
            targets = model(pair.ends).argmax(1)
        directions = pair.ends - pair.starts
        scaled = torch.cat([pair.starts + node * directions for node in nodes.tolist()]).requires_grad_()
        (gradients,) = compute_gradients(model, (scaled,), targets.repeat(steps))
        terms = torch.stack([weight * part for weight, part in zip(weights, gradients.chunk(steps), strict=True)])
        parts.append((terms.cumsum(0) * directions).transpose(0, 1).flatten(2).detach().float())
    return torch.cat(parts)


def gflop_of_a_gradient(model: nn.Module, image: Tensor) -> float:
    """Arithmetic of one forward pass and its backward pass to the input, in GFLOP as torch counts them."""
    counter = FlopCounterMode(display=False)
    with counter:
        model(image.clone().requires_grad_()).sum().backward()
    return counter.get_total_flops() / 1e9


def matrix_product_rate(size: int = 1536, repeats: int = 5) -> float:
    """GFLOP/s of a large float32 matrix product, the best of several."""
    a, b = torch.rand(2, size, size)
    return max(2 * size**3 / 1e9 / timed(lambda: a @ b)[1] for _ in range(repeats))


def shares(model: nn.Module, paths: Paths) -> dict[str, float]:
    """Where our extractor's time goes: shares of convolutions, other products, and all that is bound by memory."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        extract_field(model, paths, steps=STEPS)
    kinds = {"Convolutions": ("convolution",), "Other products": ("mm", "attention", "linear")}
    spent = dict.fromkeys([*kinds, "Copies, sums, ReLU and the rest"], 0.0)
    for event in profile.key_averages():
        name = next((kind for kind, words in kinds.items() if any(w in event.key for w in words)), list(spent)[-1])
        spent[name] += event.self_cpu_time_total
    return {name: time / sum(spent.values()) for name, time in spent.items()}


def compare(build: Callable[[], nn.Module], side: int, references: int, repeats: int) -> dict[str, Any]:
    """One row: both extractors on one network."""
    torch.manual_seed(0)
    model = build().eval().requires_grad_(False)
    ready = deepcopy(model)
    images = torch.rand(references, 3, side, side, generator=torch.Generator().manual_seed(0))
    paths = Paths(torch.zeros(()), images)
    lower = Fast("bfloat16")

    def in_bfloat16() -> Field:  # without the proof, a path more: of few references it would be much
        with lower.arithmetic(images.device):
            return extract_field(ready, paths, steps=STEPS)

    ours = partial(extract_field, ready, paths, steps=STEPS)
    ways = {"plain": partial(plain_field, model, paths), "ours": ours, "bfloat16": in_bfloat16}
    fields = {name: way() for name, way in ways.items()}
    exact = extract_field(deepcopy(model).double(), paths[:1], steps=STEPS)
    errors = {name: float((fields[name][:1] - exact).norm() / exact.norm()) for name in ("plain", "ours")}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    memory = dict.fromkeys(ways, 0.0)
    for _ in range(repeats):
        for name, way in ways.items():
            grown = memory_growth(lambda way=way, spent=seconds[name]: spent.append(timed(way)[1]))
            memory[name] = max(memory[name], grown)
    gradients = references * STEPS
    work = gflop_of_a_gradient(model, images[:1])
    ratios = [slow / fast for slow, fast in zip(seconds["plain"], seconds["ours"], strict=True)]
    lowered = [slow / fast for slow, fast in zip(seconds["plain"], seconds["bfloat16"], strict=True)]
    rate = {name: gradients / median(values) for name, values in seconds.items()}
    return {
        "Gradients/s, plain": rate["plain"],
        "Gradients/s, ours": rate["ours"],
        "Speed-up": median(ratios),
        "least": min(ratios),
        "most": max(ratios),
        "GFLOP/s, plain": rate["plain"] * work,
        "GFLOP/s, ours": rate["ours"] * work,
        "Memory (GB), plain": memory["plain"],
        "Memory (GB), ours": memory["ours"],
        "Error, plain": errors["plain"],
        "Error, ours": errors["ours"],
        "Speed-up, bfloat16": median(lowered),
        "Change, bfloat16": float(cosine(fields["ours"], fields["bfloat16"]).nanmean()),
    } | shares(ready, paths)


def main(arguments: list[str]) -> int:
    """Measure every network, or those named, and write field.{json,md}."""
    known = networks()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.field", description=main.__doc__)
    parser.add_argument("networks", nargs="*", metavar="network", help=f"of {', '.join(known)}")
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args(arguments)
    unknown = sorted(set(chosen.networks) - set(known))
    if unknown:
        parser.error(f"no network {', '.join(unknown)}; there are {', '.join(known)}")
    torch.set_num_threads(1)
    peak = matrix_product_rate()
    rows = {}
    for name in chosen.networks or known:
        row = compare(*known[name], repeats=chosen.repeats)
        peak = max(peak, matrix_product_rate())
        rows[name] = row
        print(f"{name}: {row['Speed-up']:.2f} times as fast", file=sys.stderr)
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("Network")
    table.insert(7, "Share of matrix product, ours", table["GFLOP/s, ours"] / peak)
    settings = {"steps": STEPS, "repeats": chosen.repeats, "matrix product GFLOP/s": peak}
    heading = f"Matrix product: {peak:.0f} GFLOP/s"
    title = "Gradient fields: ours beside the published protocol"
    print(save("field", title, EXPLANATION, {heading: table}, settings, arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
