"""Training small networks: one loop for all of a zoo, single-threaded and deterministic under a seed."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from experiments.training.state import keep, resume

Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]
"""Model, a batch of inputs and its targets -> the loss."""
Augment = Callable[[Tensor, torch.Generator], Tensor]
"""A batch of inputs and what to draw from (on the CPU) -> the batch to train on."""
AfterEpoch = Callable[[int, nn.Module], None]
"""Is shown the model, in eval mode, after each epoch, counted from 1."""


def forget_epoch(epoch: int, model: nn.Module) -> None:
    """Do nothing after an epoch."""


def label_loss(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of the model's outputs and labels, or probabilities."""
    return cross_entropy(model(inputs), targets)


def fit(
    model: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    *,
    epochs: int,
    rate: float,
    seed: int,
    loss: Loss = label_loss,
    trainable: Iterable[nn.Parameter] | None = None,
    batch_size: int = 32,
    augment: Augment | None = None,
    state: Path | None = None,
    after_epoch: AfterEpoch = forget_epoch,
) -> nn.Module:
    """Train in place by AdamW under a one-cycle schedule; returns the model in eval mode.

    Args:
        model: stays in the mode (train or eval) that it comes in; eval freezes BatchNorm's statistics.
        inputs: images (samples, channels, height, width), or rows (samples, dims).
        targets: anything indexable by sample that `loss` understands; class labels by default.
        epochs: passes over the data.
        rate: peak learning rate.
        seed: orders the batches.
        loss: what to minimise.
        trainable: parameters to update, all by default; the others are frozen.
        batch_size: samples per step; the last incomplete batch of an epoch is left out.
        augment: changes each batch of images, if given.
        state: file to keep the state after each epoch in; one that is there is resumed, and the last epoch removes it.
        after_epoch: is shown the model along the way.

    Raises:
        ValueError: if there are fewer samples than one batch, the state is damaged or of a training with other numbers,
            or the loss stops being finite.
    """
    if len(inputs) < batch_size:
        raise ValueError(f"training needs at least one batch of {batch_size} images, not {len(inputs)}")
    generator = torch.Generator().manual_seed(seed)
    chosen = list(model.parameters() if trainable is None else trainable)
    for parameter in model.parameters():
        parameter.requires_grad_(any(parameter is other for other in chosen))
    optimiser = torch.optim.AdamW(chosen, lr=rate, weight_decay=0.02, fused=True)
    batches = len(inputs) // batch_size
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=epochs * batches)
    parts = {"model": model, "optimiser": optimiser, "schedule": schedule, "random": Draws(generator)}
    settings = {"epochs": epochs, "rate": rate, "seed": seed, "samples": len(inputs), "batch_size": batch_size}
    done = resume(state, settings, parts) if state and state.exists() else 0
    for epoch in range(done, epochs):
        order = torch.randperm(len(inputs), generator=generator)[: batches * batch_size]
        for index in order.split(batch_size):
            batch = _batch(inputs, index)
            value = loss(model, augment(batch, generator) if augment else batch, targets[index])
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
    return model.eval()


@dataclass(frozen=True)
class Draws:
    """Where all random draws of a training stand: the order of its batches, and torch's own (dropout)."""

    generator: torch.Generator

    def state_dict(self) -> dict[str, Tensor]:
        """The states of both generators."""
        return {"order": self.generator.get_state(), "own": torch.get_rng_state()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Draw on from there."""
        self.generator.set_state(state["order"])
        torch.set_rng_state(state["own"])


def show(model: nn.Module, epoch: int, after_epoch: AfterEpoch) -> None:
    """Show the model in eval mode; every part of it is in its own mode afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    after_epoch(epoch, model.eval())
    for module, training in modes:  # parts may be in another mode than the whole, such as a frozen BatchNorm
        module.training = training


def _batch(inputs: Tensor, index: Tensor) -> Tensor:
    chosen = inputs[index]
    return chosen.contiguous(memory_format=torch.channels_last) if chosen.ndim == 4 else chosen
