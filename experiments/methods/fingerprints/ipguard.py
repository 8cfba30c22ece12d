"""IPGuard (Cao, Jia and Gong, AsiaCCS 2021): label agreement on points just beyond the victim's decision boundaries.

Published implementations may draw the class that an image already has as its target, start their optimiser anew at
every step, and leave the range of pixels; none of that is copied.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import relu

from experiments.interfaces import Offered, Samples
from experiments.networks.forward import device_of, predictions
from experiments.queries.samples import random_samples, refuse_none, source

AT_ONCE = 512
"""Points that are moved together."""


def boundary_samples(offered: Offered, *, seed: int, margin: float, rate: float, iterations: int) -> Samples:
    """A budget of random samples in [0, 1], moved until the source just answers its least likely class instead.

    Each is moved by Adam until `boundary_loss` is zero, and no further; one that does not get there stays where it got
    to. The labels are the source's first answers.

    Args:
        offered: gives pool, budget and source.
        seed: draws the samples.
        margin: by how much the target's logit must exceed the first class's; the smaller, the nearer the boundary.
        rate: of Adam.
        iterations: at most so many.

    Raises:
        ValueError: if a setting is out of range, or the source knows fewer than two classes.
    """
    refuse_none(margin=margin, rate=rate, iterations=iterations)
    model = source(offered)
    chosen = random_samples(offered, seed=seed)
    device = device_of(model, chosen.inputs)
    moved, labels = [], []
    for images in chosen.inputs.split(AT_ONCE):
        outputs = predictions(model, images)
        if outputs.ndim != 2 or outputs.shape[1] < 2:
            raise ValueError(f"a boundary lies between two classes; the source's outputs are {tuple(outputs.shape)}")
        first, target = outputs.argmax(1), outputs.argmin(1)
        points = images.to(device, copy=True).requires_grad_()
        descent, there = torch.optim.Adam([points], lr=rate), torch.zeros(len(images), dtype=torch.bool, device=device)
        for _ in range(iterations):
            # The copy lets a model's first layer work in place, which a leaf would refuse.
            loss = boundary_loss(model(points.clone()), first, target, margin=margin)
            there |= loss.detach() <= 0
            if there.all():
                break
            (points.grad,) = torch.autograd.grad(loss.sum(), points)
            before = points.detach().clone()
            descent.step()
            with torch.no_grad():
                points.clamp_(0, 1)
                points[there] = before[there]  # Adam's momentum would carry it on
        moved.append(points.detach().cpu())
        labels.append(first.cpu())
    return Samples(torch.cat(moved), torch.cat(labels))


def boundary_loss(
    outputs: Float[Tensor, "points classes"],
    first: Int[Tensor, " points"],
    target: Int[Tensor, " points"],
    *,
    margin: float,
) -> Float[Tensor, " points"]:
    """What is left to the boundary: 0 where the target's logit is `margin` above the first class's, and no third above.

    ReLU(Z_first - Z_target + margin) + ReLU(max of the others - Z_first), where `margin` is the paper's k.
    """
    one, other = (outputs.gather(1, classes[:, None])[:, 0] for classes in (first, target))
    rest = outputs.scatter(1, torch.stack([first, target], 1), -torch.inf).amax(1)
    return relu(one - other + margin) + relu(rest - one)
