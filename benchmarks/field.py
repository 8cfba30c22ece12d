"""Our extractor beside a plain one, in one run and in alternation: python -m benchmarks.field [--device cuda].

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
from modelgif_core import Fast, Field, Paths, cosine, extract_field, prepared
from modelgif_core.fast import float32_products
from modelgif_core.quadrature import gauss_legendre

STEPS = 50
EXPLANATION = (
    "Fields of 50 steps with float32, on one thread or the accelerator, plain (captum, two references a batch, as "
    "published) and ours, which prepares the network anew each time, in alternation; medians over repeats, the "
    "speed-up with its range. Networks are timm's, but for those of torchvision (tv) and ResNet-20; the number is the "
    "side of their images. GFLOP/s from torch's count of one gradient; share of the rate of a large matrix product "
    "measured in the same run. Error: length of the difference from the field in double precision, over that field's "
    "length, on one path. Memory: the most that was held above what was held before. bfloat16: ours with its products "
    "in it (`Fast`), and by how much that changes the field: 1 - cosine, with random weights, which is more than with "
    "trained ones. The last columns: where our time goes, as shares."
)
Network = tuple[Callable[[], nn.Module], int, int]


def networks() -> dict[str, Network]:
    """Name@side -> how to build it, side of its images, references to measure with."""
    import timm
    import torchvision.models as zoo

    from experiments.networks.resnet_cifar import resnet

    def of_timm(name: str, **options: Any) -> Callable[[], nn.Module]:
        return partial(timm.create_model, name, num_classes=10, **options)

    vit = partial(of_timm, "vit_tiny_patch16_224")
    known = [
        ("ResNet-20", partial(resnet, 20, classes=10, seed=0), {32: 16}),
        ("VGG-16-BN (tv)", partial(zoo.vgg16_bn, num_classes=10), {32: 4}),
        ("ResNet-18", of_timm("resnet18"), {32: 16, 64: 8}),
        ("DenseNet-121", of_timm("densenet121"), {32: 8, 64: 4}),
        ("EfficientNet-B0", of_timm("efficientnet_b0"), {32: 16, 64: 8}),
        ("ConvNeXt-atto", of_timm("convnext_atto"), {32: 32, 64: 16}),
        ("MobileNetV3-small", of_timm("mobilenetv3_small_100"), {32: 32, 64: 16}),
        ("MambaOut-femto", of_timm("mambaout_femto"), {32: 4}),
        ("ViT-Ti/4", vit(img_size=32, patch_size=4), {32: 2}),
        ("ViT-Ti/8", vit(img_size=64, patch_size=8), {64: 2}),
        ("MobileNetV2 (tv)", partial(zoo.mobilenet_v2, num_classes=10), {32: 16}),
        ("DenseNet-121 (tv)", partial(zoo.densenet121, num_classes=10), {32: 8}),
        ("ResNet-50 (tv)", partial(zoo.resnet50, num_classes=10), {128: 2}),
    ]
    return {f"{name}@{side}": (build, side, sizes[side]) for name, build, sizes in known for side in sizes}


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


def matrix_product_rate(device: torch.device, repeats: int = 5) -> float:
    """GFLOP/s of a large float32 matrix product, the best of several."""
    size = 1536 if device.type == "cpu" else 8192
    a, b = torch.rand(2, size, size, device=device)
    with float32_products("ieee"):
        return max(2 * size**3 / 1e9 / timed(lambda: awaited(a @ b))[1] for _ in range(repeats))


def awaited(result: Tensor) -> Tensor:
    """The same tensor, once it is there: accelerators work on while the program goes ahead."""
    if result.is_cuda:
        torch.cuda.synchronize(result.device)
    return result


def shares(model: nn.Module, paths: Paths) -> dict[str, float]:
    """Where our extractor's time goes: shares of convolutions, other products, and all that is bound by memory."""
    with torch.profiler.profile() as profile:
        extract_field(model, paths, steps=STEPS)
    kinds = {"Convolutions": ("conv",), "Other products": ("mm", "attention", "linear")}
    spent = dict.fromkeys([*kinds, "Copies, sums, ReLU and the rest"], 0.0)
    for event in profile.key_averages():
        name = next((kind for kind, words in kinds.items() if any(w in event.key for w in words)), list(spent)[-1])
        spent[name] += event.self_device_time_total if paths.ends.is_cuda else event.self_cpu_time_total
    return {name: time / sum(spent.values()) for name, time in spent.items()}


def compare(
    build: Callable[[], nn.Module], side: int, references: int, repeats: int, device: torch.device
) -> dict[str, Any]:
    """One row: both extractors on one network."""
    torch.manual_seed(0)
    model = build().eval().requires_grad_(False).to(device)
    ready = deepcopy(model)
    images = torch.rand(references, 3, side, side, generator=torch.Generator().manual_seed(0)).to(device)
    paths = Paths(torch.zeros((), device=device), images)

    def plain() -> Field:  # in the same arithmetic as ours: torch's own is less on NVIDIA
        with float32_products("ieee"):
            return plain_field(model, paths)

    def in_bfloat16() -> Field:
        lower = prepared(ready, images[:1], fast=Fast("bfloat16"))
        lower.proved = True  # a path more: of few references it would be much
        return extract_field(lower, paths, steps=STEPS)

    ways = {"plain": plain, "ours": lambda: extract_field(ready, paths, steps=STEPS), "bfloat16": in_bfloat16}
    fields = {name: way() for name, way in ways.items()}
    exact = extract_field(deepcopy(model).double(), paths[:1], steps=STEPS)
    errors = {name: float((fields[name][:1] - exact).norm() / exact.norm()) for name in ("plain", "ours")}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    memory = dict.fromkeys(ways, 0.0)
    for _ in range(repeats):
        for name, way in ways.items():
            grown = memory_growth(
                lambda way=way, spent=seconds[name]: spent.append(timed(lambda: awaited(way()))[1]), device
            )
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
    """Measure every network, or those named, and write field.{json,md}, or field_cuda for that device."""
    known = networks()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.field", description=main.__doc__)
    parser.add_argument("networks", nargs="*", metavar="network", help=f"of {', '.join(known)}")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"), help="cpu or cuda")
    chosen = parser.parse_args(arguments)
    unknown = sorted(set(chosen.networks) - set(known))
    if unknown:
        parser.error(f"no network {', '.join(unknown)}; there are {', '.join(known)}")
    torch.set_num_threads(1)
    peak = matrix_product_rate(chosen.device)
    rows = {}
    for name in chosen.networks or known:
        row = compare(*known[name], repeats=chosen.repeats, device=chosen.device)
        peak = max(peak, matrix_product_rate(chosen.device))
        rows[name] = row
        told = f"{row['Speed-up']:.2f} ({row['least']:.2f} to {row['most']:.2f}) times as fast"
        print(f"{name}: {told}", file=sys.stderr)
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("Network")
    table.insert(7, "Share of matrix product, ours", table["GFLOP/s, ours"] / peak)
    settings = {"steps": STEPS, "repeats": chosen.repeats, "matrix product GFLOP/s": peak, "device": str(chosen.device)}
    heading = f"Matrix product: {peak:.0f} GFLOP/s"
    title = "Gradient fields: ours beside the published protocol"
    name = "field" if chosen.device.type == "cpu" else f"field_{chosen.device.type}"
    print(save(name, title, EXPLANATION, {heading: table}, settings, arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
