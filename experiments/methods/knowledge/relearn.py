"""How fast forgotten images are learnt again: whatever a model's weights still hold of them speeds it up.

Both ways keep BatchNorm's statistics: a batch of one class would ruin them, and the time would measure their recovery.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from experiments.interfaces import Offered, Pools, Samples, labels_of
from experiments.networks.forward import NotFinite, logits
from experiments.queries.pools import pools
from experiments.queries.samples import pick, refuse_none, source
from experiments.training.descent import batches, descend, sgd, trainable_copy


@dataclass(frozen=True)
class Lesson:
    """What is to be learnt again, and when it counts as known."""

    pools: Pools
    goal: float
    """Mean cross-entropy of the forgotten images, in nats."""


def as_the_source_knew(offered: Offered) -> Lesson:
    """The pools, and the source model's own loss on the forgotten images as the goal, for `relearn_time`.

    Raises:
        ValueError: if pools or source are not offered.
    """
    given = pools(offered)
    return Lesson(given, _loss(source(offered), given.forget) + 1e-5)  # as theirs, or rounding could keep itself away


def relearn_time(
    model: nn.Module,
    lesson: Lesson,
    *,
    seed: int,
    rate: float = 0.01,
    decay: float = 5e-4,
    cap: int = 100,
    samples: int = 500,
    batch_size: int = 128,
) -> Float[Tensor, ""]:
    """Passes of fine-tuning on all training images until the forgotten ones are known as before: 0 to `cap`.

    Small = memory remains. As Golatkar et al. (CVPR 2020) programmed it: a pass is 500 images drawn from all training
    images, to be retained and forgotten, with replacement; SGD without momentum, in eval mode, with an L2 penalty on
    the way from the weights it starts from; until the mean loss of the forgotten images is the original model's.

    Args:
        model: a classifier.
        lesson: images, and the loss to reach.
        seed: draws and orders the images.
        rate: of SGD; theirs is 0.001 to 0.1.
        decay: weight of the penalty, theirs of the first training.
        cap: the most passes; a model that needs more, or diverges, has this value.
        samples: images of a pass.
        batch_size: of SGD.

    Raises:
        ValueError: if cap or samples is not above 0, or the model's own outputs are not finite.
    """
    refuse_none(cap=cap, samples=samples)
    student, generator = trainable_copy(model).eval(), torch.Generator().manual_seed(seed)
    device = next(student.parameters()).device
    everything, forget = lesson.pools.everything().to(device), lesson.pools.forget.to(device)
    first = [weights.detach().clone() for weights in student.parameters()]

    def losses() -> Iterator[Tensor]:
        drawn = torch.randint(len(everything.inputs), (samples,), generator=generator)
        for inputs, labels in batches(pick(everything, drawn.to(device)), generator, size=batch_size):
            pairs = zip(student.parameters(), first, strict=True)
            moved = torch.stack([(now - then).square().sum() for now, then in pairs]).sum()
            yield cross_entropy(student(inputs), labels) + decay / 2 * moved

    plain = torch.optim.SGD(student.parameters(), lr=rate)
    return _passes(student, forget, losses, plain, goal=lesson.goal, cap=cap, seed=seed)


def relearn_alone(
    model: nn.Module,
    pools: Pools,
    *,
    seed: int,
    rate: float = 0.01,
    cap: int = 100,
    samples: int = 500,
    until: float = 0.1,
) -> Float[Tensor, ""]:
    """Epochs of fine-tuning on forgotten images alone until their mean loss is low: 0 to `cap`.

    Small = memory remains. Ours, not a published protocol: `relearn_time` mixes in all other images, goes by plain SGD
    and asks for the original model's loss. Here a model is judged alone: a fixed loss to reach, SGD with momentum 0.9
    and weight decay 5e-4, batches of 32, on a copy in eval mode. The head's bias alone can relearn a class that is
    shown by itself, so that small networks need an epoch or two whatever they remember; a lower rate tells them apart.

    Args:
        model: a classifier.
        pools: gives the images to relearn.
        seed: draws and orders the images.
        rate: of SGD.
        cap: the most epochs; a model that needs more, or diverges, has this value.
        samples: how many forgotten images to relearn, or all if they are fewer.
        until: mean cross-entropy in nats at which they count as known.

    Raises:
        ValueError: if cap, samples or until is not above 0, or the model's own outputs are not finite.
    """
    refuse_none(cap=cap, samples=samples, until=until)
    student, generator = trainable_copy(model).eval(), torch.Generator().manual_seed(seed)
    device = next(student.parameters()).device
    chosen = torch.randperm(len(pools.forget.inputs), generator=generator)[:samples]
    lesson = pick(pools.forget, chosen.to(pools.forget.inputs.device)).to(device)

    def losses() -> Iterator[Tensor]:
        return (cross_entropy(student(inputs), labels) for inputs, labels in batches(lesson, generator))

    return _passes(student, lesson, losses, sgd(student, rate), goal=until, cap=cap, seed=seed)


def _passes(
    student: nn.Module,
    wanted: Samples,
    losses: Callable[[], Iterator[Tensor]],
    optimiser: torch.optim.Optimizer,
    *,
    goal: float,
    cap: int,
    seed: int,
) -> Float[Tensor, ""]:
    """How many times all losses are descended on before the wanted samples are known; the cap if that diverges."""
    loss = _loss(student, wanted)
    for done in range(cap):
        if loss <= goal:
            return torch.tensor(float(done))
        try:
            descend(student, losses(), optimiser, seed=seed)
            loss = _loss(student, wanted)
        except NotFinite:  # so wrecked that it explodes before it learns
            break
    return torch.tensor(float(cap))


def _loss(model: nn.Module, samples: Samples) -> float:
    outputs = logits(model, samples.inputs)
    return float(cross_entropy(outputs, labels_of(samples, "forget").to(outputs.device)))
