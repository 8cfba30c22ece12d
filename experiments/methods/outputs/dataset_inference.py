"""Dataset inference (Maini, Yaghini and Papernot, "Dataset Inference: Ownership Resolution in Machine Learning", ICLR
2021), by blind walks, which see labels only.

Training pushes a model's boundaries away from its training images, and who copies the model inherits some of that. The
owner knows which images these are: a suspect whose boundaries lie farther from them than from public ones has learnt
from them, directly or through the victim. So the question is where knowledge comes from, not who was copied: strangers
that have learnt from the victim's very images are found by design, though a lineage bench counts them as strangers.

As published: noise of three kinds, several directions of each, a limited number of steps, and a linear verifier that
learns from the owner's model alone. Different: a direction is the same for all images, and a verdict is the difference
of the verifier's mean confidence between private and public images, which is what the paper tests for significance.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from experiments.interfaces import NEEDS, Offered, Samples
from experiments.methods.outputs.pointwise import outputs
from experiments.queries.samples import pick, pool_size, refuse_none, seeded, source

NOISES: dict[str, Callable[[Tensor], Tensor]] = {
    "uniform": lambda shares: 2 * shares - 1,
    "Gaussian": torch.special.ndtri,
    "Laplace": lambda shares: (1 - 2 * shares).sign() * (1 - (2 * shares - 1).abs()).log(),
}
"""Kind of noise -> its quantiles, around 0, for numbers between 0 and 1."""


@dataclass(frozen=True)
class Claim:
    """Images that a suspect is shown, the owner's first and then as many public ones, and what is made of its walks."""

    inputs: Float[Tensor, "samples ..."]
    labels: Int[Tensor, " samples"]
    directions: Float[Tensor, "directions ..."]
    """One step each."""
    steps: int
    weights: Float[Tensor, " directions"]
    """Of the verifier."""
    offset: float


def claim(offered: Offered, *, seed: int, examples: int, directions: int, step: float, steps: int) -> Claim:
    """Half a budget of the source's training images, half of the pool's, and a verifier taught by others of both.

    The verifier is a logistic regression of how far the source's boundaries are in each direction. It learns from so
    many images of either kind that no suspect is shown.

    Args:
        offered: gives pool, budget, source and the images that it has learnt from.
        seed: draws images and directions.
        examples: private images, and public ones, that the verifier learns from.
        directions: of each of the three kinds of noise.
        step: root mean square of a step's change over pixels.
        steps: at most so many.

    Raises:
        ValueError: if a setting is not above 0, there are no private images or no labels, the budget is odd, or there
            are too few images of a kind.
    """
    from sklearn.linear_model import LogisticRegression  # only here: it takes a second

    refuse_none(examples=examples, directions=directions, step=step, steps=steps)
    pool_size(offered)
    if offered.owned is None:
        raise ValueError(f"this choice of samples {NEEDS['owned']}")
    if offered.budget % 2:
        raise ValueError(f"testbed.budget must be even, half private and half public images, not {offered.budget}")
    generator, half = seeded(seed), offered.budget // 2
    kinds = {"private": offered.owned, "public": offered.samples}
    shown, taught = [], []
    for kind, samples in kinds.items():
        if samples.labels is None:
            raise ValueError(f"this choice of samples {NEEDS['labels']}")
        if half + examples > len(samples.inputs):
            raise ValueError(
                f"{half} {kind} images to show and {examples} for the verifier are more than the {len(samples.inputs)} "
                "that there are; take a smaller testbed.budget or method.queries.examples"
            )
        order = torch.randperm(len(samples.inputs), generator=generator)
        shown.append(pick(samples, order[:half]))
        taught.append(pick(samples, order[half : half + examples]))
    lines = step * noise_directions(tuple(offered.samples.inputs.shape[1:]), directions, generator)
    model = source(offered)
    far = torch.cat([blind_walk(model, samples, lines, steps=steps) for samples in taught])
    verifier = LogisticRegression(max_iter=1000).fit(far.numpy(), [1] * examples + [0] * examples)
    weights, offset = torch.tensor(verifier.coef_[0]).float(), float(verifier.intercept_[0])
    inputs, labels = (torch.cat(parts) for parts in zip(*shown, strict=True))
    return Claim(inputs, labels, lines, steps, weights, offset)


def noise_directions(shape: Sequence[int], count: int, generator: torch.Generator) -> Float[Tensor, "directions ..."]:
    """So many directions of each kind of noise, one kind after the other, each with a root mean square of 1."""
    found = []
    for quantiles in NOISES.values():
        shares = torch.rand(count, *shape, generator=generator).clamp(1e-6, 1 - 1e-6)  # the ends are infinitely far
        drawn = quantiles(shares)
        found.append(drawn / drawn.square().flatten(1).mean(1).sqrt().view(-1, *[1] * len(shape)))
    return torch.cat(found)


def blind_walk(
    model: nn.Module, samples: Samples, directions: Float[Tensor, "directions ..."], *, steps: int
) -> Float[Tensor, "samples directions"]:
    """Which share of `steps` each image goes in each direction until the model no longer gives its true label.

    0 where the model errs from the start, 1 where it does not within all steps. Pixels are kept in [0, 1].

    Raises:
        ValueError: if the samples have no labels, or the model is no classifier.
    """
    if samples.labels is None:
        raise ValueError(f"a blind walk {NEEDS['labels']}")
    lines = len(directions)
    labels, gone = samples.labels.cpu().repeat_interleave(lines), torch.full((len(samples.inputs) * lines,), steps)
    right = (outputs(model, samples).argmax(1).cpu() == samples.labels.cpu()).repeat_interleave(lines)
    gone[~right] = 0
    left = right.nonzero()[:, 0]
    for taken in range(1, steps + 1):
        if not len(left):
            break
        points = (samples.inputs[left // lines] + taken * directions[left % lines]).clamp(0, 1)
        stays = outputs(model, Samples(points)).argmax(1).cpu() == labels[left]
        gone[left[~stays]] = taken
        left = left[stays]
    return (gone / steps).view(len(samples.inputs), lines)


def confidence(model: nn.Module, queries: Claim) -> Float[Tensor, " pairs"]:
    """By how much surer the verifier is of a private image than of a public one that its model has learnt it: -1 to 1.

    By the model's boundaries around the two; the mean over pairs is the paper's effect.
    """
    walked = blind_walk(model, Samples(queries.inputs, queries.labels), queries.directions, steps=queries.steps)
    private, public = (walked @ queries.weights + queries.offset).sigmoid().chunk(2)
    return private - public


def less_confident(a: Tensor, b: Tensor) -> Float[Tensor, " pairs"]:
    """By how much less the second model seems to have learnt from private images than the first: -2 to 2, 0 on a twin.

    Signed, as the paper's verdict is: against one source, its mean ranks suspects by their effects.
    """
    return a - b
