"""How fast forgotten images are learnt again: whatever a model's weights still hold of them speeds it up."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from experiments.interfaces import Pools, Samples, labels_of
from experiments.networks.forward import logits
from experiments.training.descent import batches, descend, sgd, trainable_copy


def relearn_time(
    model: nn.Module,
    pools: Pools,
    *,
    seed: int,
    rate: float = 0.01,
    cap: int = 100,
    samples: int = 500,
    until: float = 0.1,
) -> Float[Tensor, ""]:
    """Epochs of fine-tuning on forgotten images until their mean loss is low: 0 to `cap`, small = memory remains.

    Relearn time (Golatkar et al., 2020; Tarun et al., 2023) with a fixed loss to reach, because a model is judged
    alone: theirs is the original model's loss. SGD with momentum 0.9 and weight decay 5e-4, batches of 32, on a copy in
    eval mode: a batch of one class would ruin BatchNorm's statistics, and the time would measure their recovery.
    The head's bias alone can relearn a class that is shown by itself, so that small networks need an epoch or two
    whatever they remember; a lower rate tells them apart.

    Args:
        model: a classifier.
        pools: gives the images to relearn.
        seed: draws and orders the images.
        rate: of SGD.
        cap: the most epochs; a model that needs more has this value.
        samples: how many forgotten images to relearn, or all if they are fewer.
        until: mean cross-entropy in nats at which they count as known.

    Raises:
        ValueError: if cap or samples is below 1, until is not positive, or the loss diverges.
    """
    if cap < 1 or samples < 1 or until <= 0:
        raise ValueError(f"cap and samples must be at least 1 and until above 0, not {cap}, {samples} and {until}")
    student, generator = trainable_copy(model).eval(), torch.Generator().manual_seed(seed)
    device = next(student.parameters()).device
    inputs, labels = pools.forget.inputs, labels_of(pools.forget, "forget")
    chosen = torch.randperm(len(inputs), generator=generator)[:samples].to(inputs.device)
    lesson = Samples(inputs[chosen].to(device), labels[chosen].to(device))
    optimiser = sgd(student, rate)
    for epoch in range(cap):
        if cross_entropy(logits(student, lesson.inputs), lesson.labels) <= until:
            return torch.tensor(float(epoch))
        losses = (cross_entropy(student(inputs), labels) for inputs, labels in batches(lesson, generator))
        descend(student, losses, optimiser, seed=seed)
    return torch.tensor(float(cap))
