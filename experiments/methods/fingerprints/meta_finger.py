"""MetaFinger (Yang, Wang and Wang, "... Fingerprinting the Deep Neural Networks with Meta-Training", IJCAI 2022).

Images on which the owner's copies answer alike, and independent models otherwise, whatever is done to the images on the
way. The published program keeps images on which all copies and no independent model of a validation set agree, and
draws again until there are enough; here the best of so many are taken. Images are not mirrored, because a mirrored
digit is none; and what is matched are the source's own labels, not its copies' most frequent ones.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import kl_div

from experiments.interfaces import Offered, Samples
from experiments.networks.forward import device_of, predictions
from experiments.queries.samples import drawn, jury, pick, random_candidates, refuse_none, seeded, source

LEARNING = 2 / 3
"""Which part of the models learns; the others say what is kept."""


def meta_samples(
    offered: Offered, *, seed: int, candidates: int, rate: float, rounds: int, asked: int, weight: float = 1.0
) -> Samples:
    """A budget of learned images in [0, 1], the most telling of so many; labels are the source's answers.

    Each round takes every one of the learning copies, the source among them, as the anchor once, in random order, and
    moves all images so that copies answer like the anchor and independent models do not, under one of the
    `disturbances`, drawn for all of them.

    Args:
        offered: gives pool, budget, source, its copies for `near` and independent models for `far`.
        seed: draws the candidates, the models and what disturbs the images.
        candidates: random samples to start from.
        rate: of Adam.
        rounds: over all anchors.
        asked: how many copies, and as many independent models, each step asks.
        weight: of what independent models answer, against what copies do.

    Raises:
        ValueError: if a setting is out of range, or there are no copies or no independent models.
    """
    refuse_none(rate=rate, rounds=rounds, asked=asked, weight=weight)
    generator = seeded(seed)
    chosen = random_candidates(offered, candidates, generator).inputs
    model = source(offered)
    near, near_judges = _shared_out(jury(offered, "near"), generator)
    far, far_judges = _shared_out(jury(offered, "far"), generator)
    near = [model, *near]
    device = device_of(model, chosen)
    images = chosen.to(device, copy=True).requires_grad_()
    descent = torch.optim.Adam([images], lr=rate)
    disturb = disturbances(images.shape[-1])
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)  # the disturbances draw from torch's own generator
        for _ in range(rounds):
            for anchor in drawn(near, len(near), generator):
                shown = disturb[int(torch.randint(len(disturb), (), generator=generator))](images)
                own = anchor(shown.clone())
                alike, other = (
                    torch.stack([divergence(own, peer(shown.clone())) for peer in drawn(peers, asked, generator)]).mean(
                        0
                    )
                    for peers in (near, far)
                )
                (images.grad,) = torch.autograd.grad((alike - weight * other).sum(), images)
                descent.step()
                with torch.no_grad():
                    images.clamp_(0, 1)
    found = images.detach()
    best = telling(*(_answers(judges, found) for judges in (near_judges, far_judges))).argsort(descending=True)
    return pick(Samples(found.cpu(), predictions(model, found).argmax(1).cpu()), best[: offered.budget].cpu())


def disturbances(size: int) -> list[Callable[[Tensor], Tensor]]:
    """What may happen to images of this width on the way to a model: nothing, shear, a shift, a blur, noise."""
    from torchvision.transforms import v2  # only here: it takes seconds

    return [
        partial(torch.clone),
        v2.RandomAffine(0, shear=(-6, 6, -6, 6)),
        v2.RandomAffine(0, translate=(5 / 32, 5 / 32)),
        v2.GaussianBlur(3 if size < 32 else 5, sigma=(0.1, 1.0)),
        v2.GaussianNoise(sigma=0.05, clip=False),
    ]


def divergence(anchor: Float[Tensor, "images classes"], other: Float[Tensor, "images classes"]) -> Tensor:
    """Of each image the Kullback-Leibler divergence of another model's probabilities from the anchor's, in nats.

    >>> logits = torch.tensor([[0.0, 1.0]])
    >>> float(divergence(logits, logits + 3))
    0.0
    """
    return kl_div(anchor.log_softmax(1), other.log_softmax(1), reduction="none", log_target=True).sum(1)


def telling(near: Int[Tensor, "copies images"], far: Int[Tensor, "strangers images"]) -> Float[Tensor, " images"]:
    """Share of copies that give their most frequent label minus that of strangers that do: -1 to 1 of each image.

    >>> telling(torch.tensor([[3, 1], [3, 2], [3, 2], [3, 2]]), torch.tensor([[0, 2], [3, 2]])).tolist()
    [0.5, -0.25]
    """
    common = near.mode(0).values
    return (near == common).float().mean(0) - (far == common).float().mean(0)


def _answers(models: Sequence[nn.Module], images: Tensor) -> Int[Tensor, "models images"]:
    return torch.stack([predictions(model, images).argmax(1) for model in models])


def _shared_out(models: list[nn.Module], generator: torch.Generator) -> tuple[list[nn.Module], list[nn.Module]]:
    """Those that learn and those that judge; a single model does both."""
    mixed = drawn(models, len(models), generator)
    learning = max(1, round(LEARNING * len(mixed)))
    return mixed[:learning], mixed[learning:] or mixed
