"""A zoo of models that know, have forgotten, or only seem to have forgotten: from one reference, with many seeds.

Roles, in the order of what a verifier may do with them:

- `reference` knows everything; every suspect is compared with it. `rollback_reference` is another one, for `rollback`.
- `retrain_calibrate`, `unrelated_calibrate`, `shadow`: a verifier may look at them; they are never scored.
- `retrain_tune` chooses the settings of unlearning methods, and is what cheats imitate; never shown to a verifier.
- Truly forgotten: `retrain` (fresh weights, without the forgotten images), `retrain_same_start` (from the reference's
  initial weights), `rollback` (a model that never saw those images, trained on without them; its reference is the same
  model, trained on with them).
- Nothing forgotten: `unrelated` (other seeds, all images) and the controls: `head_zeroed`, `head_suppressed`,
  `head_retrained`, `head_distilled`, `logit_shift`, fakes.
- To be judged: `approximate` (the paper's), the other unlearning methods by name, `finetune_long`.
- `swap_saw_without` and `swap_new_with` take apart encoder and head: an encoder that saw the class under a head that
  did not, and the reverse.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

from torch import nn

from experiments.interfaces import Pools, Zoo, ZooModel
from experiments.testbeds.unlearning import makers
from experiments.testbeds.unlearning import recipe as recipes
from experiments.testbeds.unlearning.recipe import Materials, Recipe

Unlearner = Mapping[str, Any]
"""`method`: (model, retain, forget, seed) -> model; `grid`: settings to choose from."""


def unlearning(
    *,
    cache: str,
    pools: Callable[[], Pools],
    label: int | None,
    network: Callable[..., nn.Module],
    train: Callable[..., nn.Module],
    unlearners: Mapping[str, Unlearner],
    repelled: Mapping[str, Any],
    pulled: Mapping[str, Any],
    approximate: Callable[..., nn.Module] | None,
    retrains: int = 5,
    copies: int = 2,
    checkpoints: Sequence[int] = (),
    shadows: int = 0,
    weights: Callable[[], nn.Module] | None = None,
    seed: int = 0,
    device: str = "cpu",
    dry_run: bool = False,
) -> Zoo:
    """The zoo around one reference.

    Args:
        cache: folder of trained models.
        pools: () -> images to forget and to retain.
        label: the class to forget; None for a random share, where controls that edit a class's output make no sense.
        network: (classes, seed) -> an untrained network.
        train: (model, inputs, labels, seed, after_epoch) -> the trained model, with a setting `epochs`.
        unlearners: role -> method and grid of settings.
        repelled: role -> settings of a fake whose field is driven from the reference's.
        pulled: role -> settings of a fake whose field is pulled toward a retrained model's.
        approximate: the paper's method, (model, retain, forget, seed, after_epoch) -> model;
            None leaves it out, as does a random share, since it draws labels of other classes.
        retrains: retrained models that test, as many that calibrate, and as many unrelated and approximate ones.
        copies: models of every other kind.
        checkpoints: after which epochs the weights of retrained, unrelated and approximate models are kept.
        shadows: models of every unlearning method that start from other references and are never scored, for U-LiRA.
        weights: loads a reference from elsewhere; by default it is trained here.
        seed: draws all other seeds, for another zoo of the same make.
        device: trains the models.
        dry_run: one epoch of everything, the least number of models, the first setting of every grid: to see that all
            parts fit together before days are spent.

    Raises:
        ValueError: if there are fewer than two retrained models, which is no distribution, or checkpoints beyond the
            training's epochs, which would leave a gap.
    """
    if retrains < 2:
        raise ValueError(f"retrains must be at least 2, not {retrains}: one retrained model is no distribution")
    beyond = sorted(set(checkpoints) - set(_within(checkpoints, train)))
    if beyond:
        raise ValueError(f"checkpoints after epochs {beyond} cannot be kept: training has others; leave them out")
    if dry_run:
        retrains, copies, checkpoints = 2, 1, ()
        repelled, pulled = (
            {role: {**given, "epochs": 1} for role, given in fakes.items()} for fakes in (repelled, pulled)
        )
        train, approximate = partial(train, epochs=1, batch_size=40), approximate and once(approximate)
        unlearners = {
            role: {"method": once(given["method"]), "grid": [_without_epochs(given.get("grid", [{}])[0])]}
            for role, given in unlearners.items()
        }
    materials = Materials(Path(cache), pools, network, train, device)
    plan = Plan(materials, seed, tuple(checkpoints))
    made = [*plan.trained(retrains, copies, weights)]
    by_name = {recipe.name: recipe for recipe in made}
    reference, tune = by_name["reference"], by_name["retrain_tune"]
    if approximate and label is not None:
        kept = _within(checkpoints, approximate)  # its curve ends with it
        made += [
            plan.recipe("approximate", number, makers.unlearn, (reference,), {"method": approximate}, kept)
            for number in range(retrains)
        ]
    for role, unlearner in unlearners.items():
        made += [plan.recipe(role, n, makers.unlearn, (reference, tune), unlearner) for n in range(copies)]
        others = [by_name[f"unrelated_calibrate-{number % copies}"] for number in range(shadows)]
        made += [
            replace(plan.recipe(f"shadow_{role}", n, makers.unlearn, (other, tune), unlearner), role="shadow")
            for n, other in enumerate(others)
        ]
    made += plan.controls(by_name, copies, repelled, pulled, label)
    return {model.name: model for recipe in made for model in _zoo_models(recipe)}


def once(function: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """The same function with a single epoch, if it has any."""
    return partial(function, epochs=1) if "epochs" in signature(function).parameters else function


def _without_epochs(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name != "epochs"}


def _within(checkpoints: Sequence[int], training: Callable[..., nn.Module]) -> tuple[int, ...]:
    """The checkpoints that a training with a setting `epochs` comes to; without one, all."""
    last = getattr(training, "keywords", {}).get("epochs", max(checkpoints, default=0))
    return tuple(epoch for epoch in checkpoints if 1 <= epoch <= last)


class Plan:
    """Which recipes a zoo has; all share its materials, seed and checkpoints."""

    def __init__(self, materials: Materials, seed: int, checkpoints: tuple[int, ...]) -> None:
        self.materials, self.seed, self.checkpoints = materials, seed, checkpoints

    def recipe(
        self,
        role: str,
        number: int | None,
        make: recipes.Maker,
        parents: tuple[Recipe, ...] = (),
        settings: Mapping[str, Any] | None = None,
        checkpoints: tuple[int, ...] = (),
    ) -> Recipe:
        """A recipe named by role and number."""
        name = role if number is None else f"{role}-{number}"
        return Recipe(name, role, self.seed, self.materials, make, settings or {}, parents, checkpoints)

    def trained(self, retrains: int, copies: int, weights: Callable[[], nn.Module] | None) -> Iterator[Recipe]:
        """All models that are trained from fresh weights, and what rolls back."""
        without, half = {"forgetting": True}, {"forgetting": True, "share": 0.5}
        if weights:
            reference = self.recipe("reference", None, makers.published, settings={"load": weights})
        else:
            reference = self.recipe("reference", None, makers.train)
        yield reference
        yield self.recipe("retrain_tune", None, makers.train, settings=without)
        for number in range(retrains):
            yield self.recipe("unrelated", number, makers.train, checkpoints=self.checkpoints)
            yield self.recipe("retrain", number, makers.train, (), without, self.checkpoints)
            yield self.recipe("retrain_calibrate", number, makers.train, settings=without)
        for number in range(copies):
            yield self.recipe("unrelated_calibrate", number, makers.train)
            if not weights:
                start = without | {"start": reference.own_seed()}
                yield self.recipe("retrain_same_start", number, makers.train, settings=start)
        base = self.recipe("rollback_base", None, makers.train, settings=half)
        yield self.recipe("rollback_reference", None, makers.train, (base,), {"share": 0.5})
        for number in range(copies):
            yield self.recipe("rollback", number, makers.train, (base,), half)

    def controls(
        self,
        made: Mapping[str, Recipe],
        copies: int,
        repelled: Mapping[str, Any],
        pulled: Mapping[str, Any],
        label: int | None,
    ) -> list[Recipe]:
        """Models that only seem to have forgotten, and those that take encoder and head apart."""
        reference, tune = made["reference"], made["retrain_tune"]
        without = {"forgetting": True}
        found = []
        for number in range(copies):
            found.append(self.recipe("logit_shift", number, makers.logit_shift, (reference,)))
            for role, settings in repelled.items():
                found.append(self.recipe(role, number, makers.fake_repel, (reference,), settings))
            for role, settings in pulled.items():
                found.append(self.recipe(role, number, makers.fake_pull, (reference, tune), settings))
        if label is None:
            return found
        found.append(self.recipe("head_zeroed", None, makers.head_zeroed, (reference,)))
        found.append(self.recipe("head_suppressed", None, makers.head_suppressed, (reference,)))
        for number in range(copies):
            found.append(self.recipe("head_retrained", number, makers.head_retrained, (reference,), without))
            found.append(self.recipe("head_distilled", number, makers.head_distilled, (reference, tune)))
            saw, new = made[f"unrelated-{number}"], made[f"retrain-{number}"]
            found.append(self.recipe("swap_saw_without", number, makers.head_retrained, (saw,), without))
            found.append(self.recipe("swap_new_with", number, makers.head_retrained, (new,)))
        return found


def _zoo_models(recipe: Recipe) -> Iterator[ZooModel]:
    """The model, and before it one for each of its checkpoints."""
    for epoch in (*recipe.checkpoints, None):
        yield ZooModel(
            recipe.name if epoch is None else f"{recipe.name}@{epoch}",
            recipe.role,
            "network",
            load=partial(recipes.load, recipe, epoch),
            prepare=partial(recipes.prepare, recipe),
            ready=partial(recipes.ready, recipe),
            facts=partial(recipes.facts, recipe, epoch),
            epoch=epoch,
        )
