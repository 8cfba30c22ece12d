"""Queries that several methods share: which samples of the pool to show, and paths to them."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from experiments.forgetting import POOLS, Pools, labels_of
from experiments.interfaces import Samples, Testbed
from modelgif_core import Paths

Choice = Callable[[Testbed], Samples]
Start = Callable[[Tensor, Tensor], Tensor]
"""Ends of the paths and the whole pool -> starts."""


def random_samples(testbed: Testbed, *, seed: int) -> Samples:
    """A budget of samples drawn from the pool without replacement."""
    return pick(testbed.samples, torch.randperm(_pool_size(testbed), generator=_generator(seed))[: testbed.budget])


def cutmix_samples(testbed: Testbed, *, seed: int, alpha: float = 1.0) -> Samples:
    """Random samples, each with a box of another one pasted in (CutMix, Yun et al., 2019).

    The kept share of the area is drawn from Beta(alpha, alpha); the labels are gone.
    """
    return Samples(cutmix(random_samples(testbed, seed=seed).inputs, alpha=alpha, generator=_generator(seed)))


def misclassified_samples(testbed: Testbed, *, seed: int) -> Samples:
    """Samples that the source model gets wrong, in random order (AKH, Godinot et al., 2025).

    If they are fewer than the budget, CutMix of them and of their mirror images fills it, as that paper does.

    Raises:
        ValueError: if the source model gets all of the pool right.
    """
    _pool_size(testbed)
    labels = _labels(testbed)
    wrong = (_source_outputs(testbed).argmax(1) != labels).nonzero()[:, 0]
    if not len(wrong):
        raise ValueError("the source model classifies the whole pool correctly; choose samples another way")
    generator = _generator(seed)
    found = pick(testbed.samples, wrong[torch.randperm(len(wrong), generator=generator)][: testbed.budget])
    missing = testbed.budget - len(found.inputs)
    if not missing:
        return found
    stock = torch.cat([found.inputs, found.inputs.flip(3), found.inputs.flip(2)])
    filling = stock[torch.randint(len(stock), (missing,), generator=generator)]
    return Samples(torch.cat([found.inputs, cutmix(filling, stock, generator=generator)]))


def low_margin_samples(testbed: Testbed, *, seed: int) -> Samples:
    """Samples on which the source model's two largest logits lie closest together, closest first; nothing is drawn."""
    _pool_size(testbed)
    first, second = _source_outputs(testbed).topk(2, dim=1).values.T
    return pick(testbed.samples, (first - second).argsort()[: testbed.budget])


def paths(testbed: Testbed, *, choose: Choice, start: Start) -> Paths:
    """Paths to chosen samples."""
    chosen = choose(testbed)
    return Paths(start(chosen.inputs, testbed.samples.inputs), chosen.inputs, chosen.labels)


def pools(testbed: Testbed) -> Pools:
    """All images that models are to remember and to forget, for methods that verify unlearning.

    Raises:
        ValueError: if the testbed forgets nothing.
    """
    cut = getattr(testbed, "pools", None)
    if cut is None:
        raise ValueError("this method needs pools of images to forget and to retain; take testbed=unlearning")
    return cut()


def black(ends: Tensor, pool: Tensor) -> Tensor:
    """Start at zero in pixel space."""
    return torch.zeros(())


def mid_grey(ends: Tensor, pool: Tensor) -> Tensor:
    """Start at half brightness: zero for encoders that take images in [-1, 1], the published start of dense tasks."""
    return torch.full((), 0.5)


def mean_colour(ends: Tensor, pool: Tensor) -> Tensor:
    """Start at the pool's mean colour: zero after the usual normalisation, the published start."""
    return pool.mean((0, 2, 3), keepdim=True)


def mean_image(ends: Tensor, pool: Tensor) -> Tensor:
    """Start at the pool's mean image."""
    return pool.mean(0, keepdim=True)


def other_samples(ends: Tensor, pool: Tensor) -> Tensor:
    """Start each path where the next one ends."""
    return ends.roll(1, 0)


def pick(samples: Samples, index: Tensor) -> Samples:
    """The samples at these positions, in this order."""
    return Samples(samples.inputs[index], None if samples.labels is None else samples.labels[index])


def cutmix(images: Tensor, partners: Tensor | None = None, *, alpha: float = 1.0, generator: torch.Generator) -> Tensor:
    """Each image with a box of a randomly chosen partner pasted in; a box of its own for every image.

    (torchvision's CutMix draws a single box for the whole batch and mixes neighbours only.)
    """
    partners = images if partners is None else partners
    height, width = images.shape[2:]
    mixed = images.clone()
    for image in mixed:
        partner = partners[torch.randint(len(partners), (), generator=generator)]
        # Beta(a, a) as a ratio of gammas, because torch's own Beta takes no generator.
        a, b = torch._standard_gamma(torch.full((2,), alpha), generator=generator)
        side = (b / (a + b)).sqrt()
        top, left = (torch.rand(2, generator=generator) * torch.tensor([height, width])).int().tolist()
        half_height, half_width = int(side * height / 2), int(side * width / 2)
        rows = slice(max(0, top - half_height), top + half_height)
        columns = slice(max(0, left - half_width), left + half_width)
        image[:, rows, columns] = partner[:, rows, columns]
    return mixed


def logits(model: nn.Module, inputs: Tensor, *, batch_size: int = 256) -> Tensor:
    """The model's outputs on all inputs, on the CPU, without gradients.

    Raises:
        ValueError: if an output is not finite.
    """
    device = next((p.device for p in model.parameters()), inputs.device)
    with torch.no_grad():
        outputs = torch.cat([model(part.to(device)).cpu() for part in inputs.split(batch_size)])
    if not torch.isfinite(outputs).all():
        raise ValueError("outputs are not finite")
    return outputs


def answers(model: nn.Module, pools: Pools, pool: str) -> tuple[Tensor, Tensor]:
    """A pool's logits (n, classes) in double precision and labels (n,), on the CPU.

    Raises:
        ValueError: if there is no such pool, or the model is no classifier of its classes.
    """
    if pool not in POOLS:
        raise ValueError(f"pool must be one of {', '.join(POOLS)}, not {pool!r}")
    samples: Samples = getattr(pools, pool)
    outputs = logits(model, samples.inputs).double()
    if outputs.shape != (len(samples.inputs), pools.classes):
        raise ValueError(f"a classifier of {pools.classes} classes is asked, not one whose outputs are {outputs.shape}")
    return outputs, labels_of(samples, pool).cpu()


def _source_outputs(testbed: Testbed) -> Tensor:
    sources = {source for source, _ in testbed.pairs()}
    if len(sources) != 1:
        raise ValueError(f"this choice of samples asks one source model; the testbed has {len(sources)}")
    return logits(testbed.zoo[sources.pop()].load(), testbed.samples.inputs)


def _labels(testbed: Testbed) -> Tensor:
    if testbed.samples.labels is None:
        raise ValueError("this choice of samples needs a labelled pool")
    return testbed.samples.labels


def _pool_size(testbed: Testbed) -> int:
    size = len(testbed.samples.inputs)
    if not 1 <= testbed.budget <= size:
        raise ValueError(f"testbed.budget must lie between 1 and the {size} samples of the pool, not {testbed.budget}")
    return size


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
