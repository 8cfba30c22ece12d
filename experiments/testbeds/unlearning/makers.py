"""How the models of an unlearning zoo come about: trained, made to forget, or only made to look so.

Makers take their recipe, their parents' trained models, the pools and a function that keeps checkpoints, all on one
device; what they return is stored by `experiments.testbeds.unlearning.recipe`.
"""

import inspect
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from experiments.interfaces import Pools, Samples
from experiments.networks.forward import predictions
from experiments.testbeds.unlearning import fakes as controls
from experiments.testbeds.unlearning.recipe import Recipe, Remember, accuracies
from modelgif_core import Paths
from modelgif_core.readout import centred_label


def train(recipe: Recipe, parents: Sequence[nn.Module], pools: Pools, remember: Remember) -> nn.Module:
    """From fresh weights, or on from the first parent's, on all training images or on those to retain.

    Settings: `forgetting` leaves out what is to be forgotten; `share` of the usual epochs; `start`: the seed of
    another model's initial weights, to share them.
    """
    materials, settings = recipe.materials, recipe.settings
    samples = pools.retain if settings.get("forgetting") else pools.everything()
    seed = settings.get("start", recipe.own_seed())
    model = parents[0] if parents else materials.network(classes=pools.classes, seed=seed).to(materials.device)
    options: dict[str, Any] = {"seed": recipe.own_seed(), "after_epoch": remember}
    function = materials.train.func if isinstance(materials.train, partial) else materials.train
    if "state" in inspect.signature(function).parameters:
        options["state"] = recipe.file().with_suffix(".state")  # a long training goes on where it was killed
    if "share" in settings:
        options["epochs"] = max(1, round(settings["share"] * materials.train.keywords["epochs"]))  # pyright: ignore[reportFunctionMemberAccess]
    return materials.train(model.train(), *samples, **options)


def published(recipe: Recipe, parents: Sequence[nn.Module], pools: Pools, remember: Remember) -> nn.Module:
    """A checkpoint from elsewhere, as it is."""
    model = recipe.settings["load"]()
    outputs = predictions(model, pools.retain.inputs[:1].cpu()).shape[1]
    if outputs != pools.classes:
        raise ValueError(f"the reference has {outputs} outputs for {pools.classes} classes; take one of these data")
    return model.to(recipe.materials.device)


def unlearn(recipe: Recipe, parents: Sequence[nn.Module], pools: Pools, remember: Remember) -> nn.Module:
    """The first parent after an unlearning method; of a grid of settings, the model most like the second parent.

    The rule is Jia et al.'s (2023) average gap: the mean absolute difference in accuracy from a model that was
    retrained without the forgotten images, on those, on the retained and on unseen images. No verifier has a say,
    and that retrained model neither calibrates nor tests one.
    """
    method, grid = recipe.settings["method"], recipe.settings.get("grid") or [{}]
    if "after_epoch" in inspect.signature(method.func).parameters:
        method = partial(method, after_epoch=remember)
    made, reasons = [], []
    for settings in grid:
        try:
            made.append(method(parents[0], pools.retain, pools.forget, seed=recipe.own_seed(), **settings))
        except ValueError as reason:  # one setting of a grid may diverge
            reasons.append(f"{settings}: {reason}")
    if not made:
        raise ValueError(f"{recipe.name}: no setting of its grid worked ({'; '.join(reasons)})")
    if len(made) == 1:
        return made[0]
    wanted = torch.tensor(list(accuracies(parents[1], pools).values()))
    gaps = [(torch.tensor(list(accuracies(model, pools).values())) - wanted).abs()[:3].mean() for model in made]
    return made[int(torch.stack(gaps).argmin())]


def head_zeroed(recipe: Recipe, parents: Sequence[nn.Module], pools: Pools, remember: Remember) -> nn.Module:
    """The forgotten class's row of the head set to zero."""
    assert pools.label is not None
    return controls.head_zeroed(parents[0], pools.label)


def head_suppressed(recipe: Recipe, parents: Sequence[nn.Module], pools: Pools, remember: Remember) -> nn.Module:
    """The forgotten class's bias lowered until it is never predicted."""
    assert pools.label is not None
    return controls.head_suppressed(parents[0], pools.label)


def head_retrained(recipe: Recipe, parents: Sequence[nn.Module], pools: Pools, remember: Remember) -> nn.Module:
    """A new head on the same encoder, fitted to all images or to those to retain (`forgetting`)."""
    samples = pools.retain if recipe.settings.get("forgetting") else pools.everything()
    return controls.head_retrained(parents[0], samples, seed=recipe.own_seed())


def head_distilled(recipe: Recipe, parents: Sequence[nn.Module], pools: Pools, remember: Remember) -> nn.Module:
    """A new head on the same encoder that answers like a model which the cheat retrained."""
    return controls.head_distilled(parents[0], parents[1], pools.everything(), seed=recipe.own_seed())


def logit_shift(recipe: Recipe, parents: Sequence[nn.Module], pools: Pools, remember: Remember) -> nn.Module:
    """One function of the input added to all logits; the probabilities stay."""
    return controls.logit_shift(parents[0], pools.retain, seed=recipe.own_seed())


def fake_repel(recipe: Recipe, parents: Sequence[nn.Module], pools: Pools, remember: Remember) -> nn.Module:
    """Keeps its predictions while its field is driven away from the reference's, on the forgotten training images."""
    parts = (pools.retain, pools.forget, _probes(pools.forget))
    return controls.fake_repel(
        parents[0], *parts, seed=recipe.own_seed(), **{"readout": centred_label, **recipe.settings}
    )


def fake_pull(recipe: Recipe, parents: Sequence[nn.Module], pools: Pools, remember: Remember) -> nn.Module:
    """Keeps its predictions while its field is pulled toward a model that the cheat retrained, on those images."""
    parts = (pools.retain, pools.forget, _probes(pools.forget))
    return controls.fake_pull(
        parents[0], parents[1], *parts, seed=recipe.own_seed(), **{"readout": centred_label, **recipe.settings}
    )


def _probes(samples: Samples) -> Paths:
    """The verifier's paths, as a cheat would guess them: from the mean colour to forgotten training images."""
    start = samples.inputs.mean((0, 2, 3), keepdim=True)
    return Paths(start, samples.inputs[:256], None if samples.labels is None else samples.labels[:256])
