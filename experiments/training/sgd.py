"""Training by SGD with momentum, as published for CIFAR's ResNets; a long training goes on where it was killed."""

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from experiments.storage.identity import digest
from experiments.training.fit import AfterEpoch, Augment, Loss, forget_epoch, label_loss, show
from experiments.training.state import keep, resume

Decay = Callable[[float], float]
"""Progress of the training, in [0, 1) -> factor of its rate."""
START = 0.01
"""Share of the peak rate that a one-cycle schedule begins with."""


def step_decay(progress: float, *, drops: Sequence[float] = (0.5, 0.75), factor: float = 0.1) -> float:
    """One, times `factor` from each of `drops` on (He et al., 2016, section 4.2: after one half and three quarters).

    Raises:
        ValueError: if a drop is no share of the training.

    >>> [step_decay(epoch / 200) for epoch in (0, 99, 100, 149)]
    [1.0, 1.0, 0.1, 0.1]
    """
    if not all(0 < drop < 1 for drop in drops):
        raise ValueError(f"drops must be shares of the training between 0 and 1, such as 0.5, not {[*drops]}")
    return float(factor ** sum(progress >= drop for drop in drops))


def one_cycle(progress: float, *, rise: float = 0.3) -> float:
    """From 0.01 straight up to 1 at `rise`, then down to 0 along a cosine (after Smith and Topin, 2018).

    Raises:
        ValueError: if `rise` is no share of the training.
    """
    if not 0 < rise < 1:
        raise ValueError(f"rise must be a share of the training between 0 and 1, such as 0.3, not {rise}")
    if progress < rise:
        return START + (1 - START) * progress / rise
    return (1 + math.cos(math.pi * (progress - rise) / (1 - rise))) / 2


def cosine(progress: float) -> float:
    """From 1 down to 0 along half a cosine over the whole training (Loshchilov and Hutter, 2017, without restarts).

    >>> [round(cosine(epoch / 200), 2) for epoch in (0, 50, 100, 150)]
    [1.0, 0.85, 0.5, 0.15]
    """
    return (1 + math.cos(math.pi * progress)) / 2


def fit_sgd(
    model: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    *,
    epochs: int,
    rate: float,
    seed: int,
    decay: Decay = step_decay,
    momentum: float = 0.9,
    weight_decay: float = 1e-4,
    batch_size: int = 128,
    augment: Augment | None = None,
    state: Path | None = None,
    after_epoch: AfterEpoch = forget_epoch,
    loss: Loss | None = None,
    trainable: Iterable[nn.Parameter] | None = None,
) -> nn.Module:
    """Train all weights in place, on the model's device; returns the model in eval mode, without gradients.

    Defaults are those of He et al. (2016, section 4.2), who begin at a rate of 0.1. What an epoch does depends on the
    weights, the seed and the epoch's number alone: on the CPU, a resumed training ends as one that was never stopped,
    bit by bit.

    Args:
        model: stays in the mode (train or eval) that it comes in; eval freezes BatchNorm's statistics.
        inputs: images (samples, channels, height, width), or rows (samples, dims), on any device.
        targets: class labels (samples,), or probabilities (samples, classes).
        epochs: passes over the data.
        rate: learning rate that `decay` scales.
        seed: orders the batches, and feeds augmentation and dropout.
        decay: sets the rate before each step.
        momentum: of SGD.
        weight_decay: of all weights, BatchNorm's included.
        batch_size: samples per step at most; batches are nearly equal and no sample is left out.
        augment: changes each batch; none by default.
        state: file to keep the state after each epoch in; one that is there is resumed, and the last epoch removes it.
        after_epoch: called after each epoch, before its state is written: a killed training repeats the call.
        loss: what to minimise; cross-entropy by default.
        trainable: parameters to update, all by default; the others are frozen.

    Raises:
        ValueError: if a setting or the data are impossible, the state is damaged or of a training with other numbers
            (it does not know functions: `decay`, `augment`), or the loss stops being finite.
    """
    _refuse(inputs, targets, epochs=epochs, rate=rate, batch_size=batch_size)
    settings = {"epochs": epochs, "rate": rate, "seed": seed, "samples": len(inputs), "batch_size": batch_size}
    settings |= {"momentum": momentum, "weight_decay": weight_decay}
    device = next(model.parameters()).device
    weights = list(model.parameters() if trainable is None else trainable)
    for parameter in model.parameters():
        parameter.requires_grad_(any(parameter is other for other in weights))
    optimiser = torch.optim.SGD(weights, lr=rate, momentum=momentum, weight_decay=weight_decay)
    steps = -(-len(inputs) // batch_size)
    schedule = LambdaLR(optimiser, lambda step: decay(min(step, epochs * steps - 1) / steps / epochs))
    parts = {"model": model, "optimiser": optimiser, "schedule": schedule}
    done = resume(state, settings, parts) if state and state.exists() else 0
    for epoch in range(done, epochs):
        own_seed = int(digest([seed, epoch]), 16)
        generator = torch.Generator().manual_seed(own_seed)
        batches = torch.randperm(len(inputs), generator=generator).tensor_split(steps)
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(own_seed)  # for dropout
            for index in batches:
                batch = inputs[index].to(device)
                shown = _channels_last(augment(batch, generator) if augment else batch)
                value = (loss or label_loss)(model, shown, targets[index].to(device))
                if not torch.isfinite(value):
                    raise ValueError(f"training diverged (loss {value.item()}); lower the learning rate {rate}")
                optimiser.zero_grad()
                value.backward()
                optimiser.step()
                schedule.step()
        show(model, epoch + 1, after_epoch)
        if state and epoch + 1 < epochs:
            keep(state, settings, epoch + 1, parts)
    if state:
        state.unlink(missing_ok=True)
    model.zero_grad()
    return model.eval()


def _refuse(inputs: Tensor, targets: Tensor, *, epochs: int, rate: float, batch_size: int) -> None:
    for name, count in {"epochs": epochs, "batch_size": batch_size}.items():
        if count < 1:
            raise ValueError(f"{name} must be at least 1, not {count}")
    if not 0 < rate < math.inf:
        raise ValueError(f"rate must be a number above 0, not {rate}")
    if not len(inputs):
        raise ValueError("training needs samples; there is none")
    if len(targets) != len(inputs):
        raise ValueError(f"training needs a target for each of its {len(inputs)} samples, not {len(targets)}")


def _channels_last(batch: Tensor) -> Tensor:
    return batch.contiguous(memory_format=torch.channels_last) if batch.ndim == 4 else batch
