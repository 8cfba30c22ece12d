"""Descending on a stream of losses: what all unlearning methods share."""

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import kl_div

from experiments.interfaces import Samples, labels_of
from experiments.networks.forward import NotFinite, predictions

Batch = tuple[Tensor, Tensor]


def begin(model: nn.Module, retain: Samples, forget: Samples, seed: int) -> tuple[nn.Module, torch.Generator, int]:
    """A copy ready to learn, a generator, and the number of classes, after a look at the data."""
    student = trainable_copy(model)
    classes = 0
    for samples, name in ((retain, "retain"), (forget, "forget")):
        labels = labels_of(samples, name)
        classes = predictions(student, samples.inputs[:1]).shape[1]
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= classes:
            raise ValueError(f"{name} labels run from {low} to {high}; the model has {classes} outputs")
    return student.train(), torch.Generator().manual_seed(seed), classes


def trainable_copy(model: nn.Module) -> nn.Module:
    """A copy in train mode whose every weight may move."""
    return copy.deepcopy(model).train().requires_grad_(True)


def batches(samples: Samples, generator: torch.Generator, *, epochs: int = 1, size: int = 32) -> Iterator[Batch]:
    """Shuffled batches of nearly one size, at most `size`; no sample is left out."""
    assert samples.labels is not None
    count = -(-len(samples.inputs) // size)
    for _ in range(epochs):
        for index in torch.randperm(len(samples.inputs), generator=generator).tensor_split(count):
            inputs = samples.inputs[index]
            # On CPUs convolutions are faster with the channels last.
            yield (
                inputs.contiguous(memory_format=torch.channels_last) if inputs.ndim == 4 else inputs,
                samples.labels[index],
            )


def sgd(model: nn.Module, rate: float) -> torch.optim.Optimizer:
    """SGD with momentum 0.9 and weight decay 5e-4."""
    return torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9, weight_decay=5e-4)


def descend(student: nn.Module, losses: Iterator[Tensor], optimiser: torch.optim.Optimizer, *, seed: int) -> nn.Module:
    """Take one step on each loss, which is computed only then; the student comes back in eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # for dropout
        for loss in losses:
            if not torch.isfinite(loss):
                rate = optimiser.param_groups[0]["lr"]
                raise NotFinite(f"unlearning diverged (loss {loss.item()}); lower the rate {rate} or the epochs")
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    for parameter in student.parameters():
        parameter.grad = None
    return student.eval()


def divergence(outputs: Tensor, goal: Tensor, temperature: float = 1.0) -> Tensor:
    """KL(goal || outputs) of softened logits (n, classes), mean over samples, times temperature squared; 0 upwards."""
    soft = [(logits / temperature).log_softmax(1) for logits in (outputs, goal)]
    return temperature**2 * kl_div(soft[0], soft[1], reduction="batchmean", log_target=True)
