"""Reference points pushed to where one model's outputs change: the adversarial probe images of Song et al. (2023).

Projected gradient ascent (Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", ICLR 2018).
The published code starts it at the clean image, where the change of outputs is at its minimum and its gradient zero,
so that no image ever moves; here it starts at a random point nearby, as Madry et al. do.
"""

import torch
from torch import Tensor, nn

from experiments.interfaces import Samples, Testbed
from experiments.queries.samples import random_samples
from modelgif_core.readout import Readout


def pgd_samples(
    testbed: Testbed, *, seed: int, epsilon: float, step: float, iterations: int, readout: Readout
) -> Samples:
    """A budget of random samples in [0, 1], each changed by at most `epsilon` a pixel, with their labels.

    Every iteration moves all pixels by `step` in the direction that raises the squared change of the outputs that the
    readout follows at the clean sample: all features with `every_output`.

    The model is the source of the testbed's first pair: the victim, or the first of a zoo's encoders (the published
    code takes 14 encoders in turn). Where that model is scored itself, its own distances are those of a model that
    chose its reference points.

    Args:
        testbed: gives pool, budget and model.
        seed: draws samples and starting points.
        epsilon: radius of the ball around a sample, in the largest change of any pixel.
        step: how far a pixel moves in an iteration.
        iterations: number of input gradients per sample.
        readout: which outputs should change.

    Raises:
        ValueError: if a setting is out of range.
    """
    for name, value in {"epsilon": epsilon, "step": step}.items():
        if not 0 < value <= 1:
            raise ValueError(f"{name} must lie above 0 and at most at 1, the range of pixels, not {value}")
    if iterations < 1:
        raise ValueError(f"iterations must be at least 1, not {iterations}")
    clean = random_samples(testbed, seed=seed)
    model = testbed.zoo[testbed.pairs()[0][0]].load()
    device = next((p.device for p in model.parameters()), clean.inputs.device)
    generator = torch.Generator().manual_seed(seed)
    moved = torch.empty_like(clean.inputs)
    # About two million input values at a time, as for fields.
    for index in torch.arange(len(moved)).split(max(1, 2**21 // moved[0].numel())):
        images = clean.inputs[index]
        start = images + epsilon * (2 * torch.rand(images.shape, generator=generator) - 1)
        labels = None if clean.labels is None else clean.labels[index].to(device)
        ends = _ascend(
            model,
            images.to(device),
            start.to(device),
            labels,
            epsilon=epsilon,
            step=step,
            iterations=iterations,
            readout=readout,
        )
        moved[index] = ends.cpu()
    return Samples(moved, clean.labels)


def _ascend(
    model: nn.Module,
    images: Tensor,
    points: Tensor,
    labels: Tensor | None,
    *,
    epsilon: float,
    step: float,
    iterations: int,
    readout: Readout,
) -> Tensor:
    low, high = (images - epsilon).clamp(0, 1), (images + epsilon).clamp(0, 1)
    with torch.no_grad():
        outputs = model(images.clone())
        follow = readout(outputs, labels)
    points = points.clamp(low, high)
    for _ in range(iterations):
        points.requires_grad_()
        # The copy lets a model's first layer work in place, which a leaf would refuse.
        change = (follow * (model(points.clone()) - outputs)).square().sum()
        (gradient,) = torch.autograd.grad(change, points)
        points = (points.detach() + step * gradient.sign()).clamp(low, high)
    return points
