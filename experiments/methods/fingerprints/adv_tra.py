"""ADV-TRA: adversarial trajectories (Xu et al., "United We Stand, Divided We Fall: ...", NeurIPS 2024).

A trajectory walks from an image through several classes of the source, by steps of which only the last one of each leg
arrives; what a copy shares is where labels change along the way. The published verdict counts trajectories on which
fewer than half of the labels are another; here the distance is the mean share that is, which needs no threshold. Pixels
are kept in their range. A budget makes for fewer and shorter trajectories than the published 40 to 160 points.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, relu

from experiments.interfaces import Offered, Samples
from experiments.networks.forward import device_of, predictions
from experiments.queries.samples import pick, pool_size, refuse_none, seeded, source

SHRINK = 0.95
"""What each step should be of the one before it."""


def trajectory_samples(
    offered: Offered, *, seed: int, length: int, classes: int, step: float, fall: float, rate: float, rounds: int
) -> Samples:
    """A budget of points in [0, 1] on adversarial trajectories, one trajectory after the other; labels: the source's.

    Args:
        offered: gives pool, budget and source.
        seed: draws the images that trajectories begin at (these are not shown), and the classes that they go through.
        length: points of a trajectory; budget / length is the number of trajectories.
        classes: legs of a trajectory, each of length / classes points and to another class, drawn at random.
        step: how far each pixel goes in a leg's first step, to begin with.
        fall: how much less in each one after it, up to the middle, from where the steps mirror the first half.
        rate: at which steps are learned.
        rounds: at most so many attempts at a leg; one that succeeds in none of them keeps the last.

    Raises:
        ValueError: if a setting is out of range, the lengths do not divide, or the source knows too few classes.
    """
    refuse_none(step=step, rate=rate, rounds=rounds, classes=classes, length=length)
    if length % (2 * classes):
        raise ValueError(f"length must be a multiple of {2 * classes}, two points for each class, not {length}")
    half = length // classes // 2
    if not 0 <= fall * (half - 1) < step:
        raise ValueError(f"fall must leave all {half} steps from {step} on above 0 and not longer, not {fall}")
    size = pool_size(offered)
    if offered.budget % length:
        raise ValueError(
            f"testbed.budget must be a multiple of {length}, the length of a trajectory, not {offered.budget}; set "
            "method.queries.length to a divisor of it"
        )
    count, generator, model = offered.budget // length, seeded(seed), source(offered)
    device = device_of(model, offered.samples.inputs)
    points = pick(offered.samples, torch.randperm(size, generator=generator)[:count]).inputs.to(device)
    outputs = predictions(model, points)
    if outputs.ndim != 2 or outputs.shape[1] <= classes:
        raise ValueError(f"{classes} other classes to go through are not in outputs {tuple(outputs.shape)}; ask fewer")
    targets = other_classes(outputs.argmax(1).cpu(), classes, outputs.shape[1], generator).to(device)
    first = (step - fall * torch.arange(half, device=device)).expand(count, half)
    legs = []
    for target in targets.T:
        legs.append(leg(model, points, target, first, rate=rate, rounds=rounds))
        points = legs[-1][:, -1]
    shown = torch.cat(legs, 1).flatten(0, 1)
    return Samples(shown.cpu(), predictions(model, shown).argmax(1).cpu())


def other_classes(own: Int[Tensor, " images"], count: int, total: int, generator: torch.Generator) -> Tensor:
    """So many classes for each image, all different and none its own: (images, count)."""
    order = torch.rand(len(own), total, generator=generator).argsort(1)
    return order[order != own[:, None]].view(len(own), total - 1)[:, :count]


def leg(
    model: nn.Module,
    begin: Float[Tensor, "images channels height width"],
    target: Int[Tensor, " images"],
    first: Float[Tensor, "images half"],
    *,
    rate: float,
    rounds: int,
) -> Float[Tensor, "images points channels height width"]:
    """The points of a leg: all of a batch at once, whose last is the first that the model gives the target's label.

    Steps even out to a slow decline and are together made longer if the last point does not arrive, shorter if an
    earlier one does, by less and less, until neither is the case.
    """
    steps, left = first.clone(), torch.arange(len(begin), device=begin.device)
    found = begin[:, None].repeat(1, 2 * first.shape[1], 1, 1, 1)
    for turn in range(rounds):
        points, there = walk(model, begin[left], target[left], steps[left])
        found[left] = points
        short, early = ~there[:, -1], there[:, :-1].any(1)
        if not (short | early).any():
            break
        change = 0.049 * turn / rounds
        longer, shorter = 1 / (0.9 - change), 0.9 + change
        moved = steps[left] - rate * roughness_gradient(steps[left])
        moved *= torch.where(short, longer, torch.where(early, shorter, 1.0))[:, None]
        steps[left] = moved
        left = left[short | early]
    return found


def walk(
    model: nn.Module, begin: Tensor, target: Int[Tensor, " images"], half: Float[Tensor, "images half"]
) -> tuple[Tensor, Bool[Tensor, "images points"]]:
    """Points along signs of gradients towards the targets, and which of them the model gives the target's label."""
    at, points, there = begin, [], []
    for size in torch.cat([half, half.flip(1)], 1).T:
        leaf = at.detach().requires_grad_()
        outputs = model(leaf.clone())  # lets a model's first layer work in place, which a leaf would refuse
        there.append(outputs.argmax(1) == target)
        (gradient,) = torch.autograd.grad(cross_entropy(outputs, target, reduction="sum"), leaf)
        at = (at - size[:, None, None, None] * gradient.sign()).clamp(0, 1)
        points.append(at)
    there.append(predictions(model, at).argmax(1) == target)
    return torch.stack(points, 1), torch.stack(there[1:], 1)


def roughness_gradient(steps: Float[Tensor, "images half"]) -> Float[Tensor, "images half"]:
    """How `steps` change the sum of (0.95 s_j - s_j+1)^2 and of what is below zero."""
    leaf = steps.detach().requires_grad_()
    rough = (SHRINK * leaf[:, :-1] - leaf[:, 1:]).square().sum() + relu(-leaf).sum()
    return torch.autograd.grad(rough, leaf)[0]
