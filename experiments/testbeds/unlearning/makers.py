"""How the models of an unlearning zoo come about: trained, made to forget, or only made to look so.

Each takes a `Making`, whose data are `Pools`, and settings of its own; all on one device.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from experiments.interfaces import Pools, Samples
from experiments.networks.forward import predictions
from experiments.storage.identity import described, digest, fingerprint
from experiments.testbeds.unlearning import fakes
from experiments.testbeds.unlearning.facts import accuracies
from experiments.training.recipe import Making
from modelgif_core import Paths
from modelgif_core.readout import Readout

Train = Callable[..., nn.Module]
"""(model, inputs, labels, epochs, seed, after_epoch, state) -> the trained model."""
Unlearn = Callable[..., nn.Module]
"""(model, retain, forget, seed, and settings) -> a model that should have forgotten."""


def trained(
    making: Making, *, train: Train, epochs: int, forgetting: bool = False, start: int | None = None
) -> nn.Module:
    """From fresh weights, or on from the first parent's.

    Args:
        making: its data are the pools.
        train: how.
        epochs: for how long.
        forgetting: leave out what is to be forgotten.
        start: seed of another model's initial weights, to share them.
    """
    pools: Pools = making.data
    samples = pools.retain if forgetting else pools.everything()
    model = making.parents[0] if making.parents else making.fresh(making.seed if start is None else start)
    options = {"after_epoch": making.after_epoch, "state": making.state}
    return train(model.train(), *samples, epochs=epochs, seed=making.seed, **options)


def with_checkpoint(data: Callable[[], Pools], load: Callable[[], nn.Module]) -> list[str]:
    """What names a published reference: the pools, and every weight of the checkpoint, wherever its file lies."""
    weights = load().state_dict()
    return [digest(described(data())), digest({name: fingerprint(tensor) for name, tensor in weights.items()})]


def published(making: Making, *, load: Callable[[], nn.Module]) -> nn.Module:
    """A checkpoint from elsewhere, as it is."""
    model, pools = load(), making.data
    outputs = predictions(model, pools.retain.inputs[:1].cpu()).shape[1]
    if outputs != pools.classes:
        raise ValueError(f"the reference has {outputs} outputs for {pools.classes} classes; take one of these data")
    return model.to(pools.retain.inputs.device)


def unlearnt(making: Making, *, method: Unlearn, grid: Sequence[Mapping[str, Any]]) -> nn.Module:
    """The first parent after an unlearning method; of a grid of settings, the model most like the second parent.

    The rule is Jia et al.'s (2023) average gap: the mean absolute difference in accuracy from a model that was
    retrained without the forgotten images, on those, on the retained and on unseen images. No verifier has a say,
    and that retrained model neither calibrates nor tests one.
    """
    pools: Pools = making.data
    made, reasons = [], []
    for settings in grid:
        try:
            made.append(method(making.parents[0], pools.retain, pools.forget, seed=making.seed, **settings))
        except ValueError as reason:  # one setting of a grid may diverge
            reasons.append(f"{dict(settings)}: {reason}")
    if not made:
        raise ValueError(f"no setting of the grid worked ({'; '.join(reasons)})")
    if len(made) == 1:
        return made[0]
    wanted = _judged(making.parents[1], pools)
    gaps = torch.stack([(_judged(model, pools) - wanted).abs().mean() for model in made])
    return made[int(gaps.argmin())]


def _judged(model: nn.Module, pools: Pools) -> torch.Tensor:
    shares = accuracies(model, pools)
    return torch.tensor([shares[name] for name in ("forget", "retain", "retain_unseen")])


def approximated(making: Making, *, method: Unlearn, epochs: int) -> nn.Module:
    """The first parent after the paper's method, which keeps checkpoints."""
    pools: Pools = making.data
    options = {"epochs": epochs, "after_epoch": making.after_epoch}
    return method(making.parents[0], pools.retain, pools.forget, seed=making.seed, **options)


def head_zeroed(making: Making) -> nn.Module:
    """The forgotten class's row of the head set to zero."""
    return fakes.head_zeroed(making.parents[0], making.data.label)


def head_suppressed(making: Making) -> nn.Module:
    """The forgotten class's bias lowered until it is never predicted."""
    return fakes.head_suppressed(making.parents[0], making.data.label)


def head_retrained(making: Making, *, forgetting: bool) -> nn.Module:
    """A new head on the same encoder, fitted to all images or to those to retain (`forgetting`)."""
    samples = making.data.retain if forgetting else making.data.everything()
    return fakes.head_retrained(making.parents[0], samples, seed=making.seed)


def head_distilled(making: Making) -> nn.Module:
    """A new head on the same encoder that answers like a model which the cheat retrained."""
    return fakes.head_distilled(*making.parents, making.data.everything(), seed=making.seed)


def logit_shift(making: Making) -> nn.Module:
    """One function of the input added to all logits; the probabilities stay."""
    return fakes.logit_shift(making.parents[0], making.data.retain, seed=making.seed)


def fake_repel(making: Making, *, readout: Readout, **settings: Any) -> nn.Module:
    """Keeps its predictions while its field is driven away from the reference's, on the forgotten training images."""
    parts = (making.data.retain, making.data.forget, _probes(making.data.forget))
    return fakes.fake_repel(making.parents[0], *parts, seed=making.seed, readout=readout, **settings)


def fake_pull(making: Making, *, readout: Readout, **settings: Any) -> nn.Module:
    """Keeps its predictions while its field is pulled toward models that the cheat retrained, on those images."""
    parts = (making.data.retain, making.data.forget, _probes(making.data.forget))
    model, *targets = making.parents
    return fakes.fake_pull(model, targets, *parts, seed=making.seed, readout=readout, **settings)


def _probes(samples: Samples) -> Paths:
    """The verifier's paths, as a cheat would guess them: from the mean colour to forgotten training images."""
    start = samples.inputs.mean((0, 2, 3), keepdim=True)
    return Paths(start, samples.inputs, samples.labels)
