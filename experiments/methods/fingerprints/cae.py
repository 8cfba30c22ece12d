"""CAE: conferrable adversarial examples (Lukas et al., "Deep Neural Network Fingerprinting by ...", ICLR 2021).

Adversarial examples that transfer to copies of the source and to no independent model. The loss is the paper's,
conferrability, adversarial, and agreement with the copies, each a cross-entropy of weight 1; published ports take the
step size for a weight, start their optimiser anew at every step, or leave the range of pixels: none of that is copied.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from experiments.interfaces import Offered, Samples
from experiments.networks.forward import device_of, predictions
from experiments.queries.samples import drawn, jury, pick, random_candidates, refuse_none, seeded, source

TINY = 1e-6


def conferrable_samples(
    offered: Offered, *, seed: int, candidates: int, radius: float, rate: float, steps: int, asked: int
) -> Samples:
    """A budget of adversarial examples in [0, 1], the most conferrable of so many; labels are the source's answers.

    Args:
        offered: gives pool, budget, source, its copies for `near` and independent models for `far`.
        seed: draws the candidates, and whom each step asks.
        candidates: random samples to start from.
        radius: largest change of a pixel.
        rate: of Adam.
        steps: of it.
        asked: how many copies, and as many independent models, each step asks: the paper's dropout of models.

    Raises:
        ValueError: if a setting is out of range, or there are no copies or no independent models.
    """
    refuse_none(radius=radius, rate=rate, steps=steps, asked=asked)
    generator = seeded(seed)
    clean = random_candidates(offered, candidates, generator).inputs
    model = source(offered)
    copies, others = jury(offered, "near"), jury(offered, "far")
    clean = clean.to(device_of(model, clean))
    first = predictions(model, clean).softmax(1)
    moved = clean.clone().requires_grad_()
    descent = torch.optim.Adam([moved], lr=rate)
    for _ in range(steps):
        own = model(moved.clone()).softmax(1)
        near, far = (_mean(drawn(jury, asked, generator), moved) for jury in (copies, others))
        conferred = conferrability(near, far).gather(1, own.argmax(1, keepdim=True))[:, 0]
        loss = -conferred.clamp(min=TINY).log() - _cross_entropy(first, own) + _cross_entropy(own, near)
        (moved.grad,) = torch.autograd.grad(loss.sum(), moved)
        descent.step()
        with torch.no_grad():
            moved.copy_(torch.minimum(torch.maximum(moved, clean - radius), clean + radius).clamp(0, 1))
    found = moved.detach()
    with torch.no_grad():
        answers = predictions(model, found).argmax(1)
        score = conferrability(*(_mean(jury, found) for jury in (copies, others)))
    rank = score.gather(1, answers[:, None])[:, 0] + (answers != first.argmax(1))  # adversarial ones first
    return pick(Samples(found.cpu(), answers.cpu()), rank.argsort(descending=True)[: offered.budget].cpu())


def conferrability(
    near: Float[Tensor, "samples classes"], far: Float[Tensor, "samples classes"]
) -> Float[Tensor, "samples classes"]:
    """How likely copies answer a class and independent models do not: 0 to 1 of each class.

    >>> conferrability(torch.tensor([[0.9, 0.1]]), torch.tensor([[0.2, 0.8]]))
    tensor([[0.7200, 0.0200]])
    """
    return near * (1 - far)


def _cross_entropy(wanted: Tensor, given: Tensor) -> Float[Tensor, " samples"]:
    return -(wanted * given.clamp(min=TINY).log()).sum(1)


def _mean(models: Sequence[nn.Module], points: Tensor) -> Float[Tensor, "samples classes"]:
    # Copies, because a model's first layer may work in place.
    return torch.stack([model(points.clone()).softmax(1) for model in models]).mean(0)
