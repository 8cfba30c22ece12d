"""Reference points pushed to where one model's outputs change: the adversarial probe images of Song et al. (2023).

Projected gradient ascent (Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", ICLR 2018), by
captum. The published code starts it at the clean image, where the change of outputs is at its minimum and its gradient
zero, so that no image ever moves; here it starts at a random point nearby, as Madry et al. do.
"""

import warnings

import torch
from captum.robust import PGD
from torch import Tensor

from experiments.interfaces import Offered, Samples
from experiments.networks.forward import device_of, predictions
from experiments.queries.samples import random_samples, source
from modelgif_core.readout import Readout

AT_ONCE = 2**21
"""Input values that go through the model together."""


def pgd_samples(
    offered: Offered, *, seed: int, epsilon: float, step: float, iterations: int, readout: Readout
) -> Samples:
    """A budget of random samples in [0, 1], each changed by at most `epsilon` a pixel, with their labels.

    Every iteration moves all pixels by `step` in the direction that raises the squared change of the outputs that the
    readout follows at the clean sample: all features with `every_output`.

    The model is the source: the victim, or the reference. Where all models are sources and scored (the published code
    takes 14 encoders in turn), the first one's own distances are those of a model that chose its reference points.

    Args:
        offered: gives pool, budget and source.
        seed: draws samples and starting points, the latter on the model's device.
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
    clean = random_samples(offered, seed=seed)
    model = source(offered)
    device = device_of(model, clean.inputs)
    # The copy lets a model's first layer work in place, which a leaf would refuse.
    attack = PGD(lambda points: model(points.clone()), _change, lower_bound=0, upper_bound=1)
    attack.fgsm.zero_thresh = 0  # outputs may be small
    moved = torch.empty_like(clean.inputs)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Input Tensor 0 did not already require gradients")
        torch.manual_seed(seed)  # captum draws from torch's own generator
        for index in torch.arange(len(moved)).split(max(1, AT_ONCE // moved[0].numel())):
            images = clean.inputs[index].to(device)
            outputs = predictions(model, images)
            follow = readout(outputs, None if clean.labels is None else clean.labels[index].to(device))
            target = (outputs, follow)
            moved[index] = attack.perturb(images, epsilon, step, iterations, target, random_start=True).cpu()
    return Samples(moved, clean.labels)


def _change(outputs: Tensor, target: tuple[Tensor, Tensor]) -> Tensor:
    """Squared change of each image's followed outputs."""
    before, follow = target
    return (follow * (outputs - before)).square().flatten(1).sum(1)
