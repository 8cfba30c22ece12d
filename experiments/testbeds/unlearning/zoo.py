"""A zoo of models that know, have forgotten, or only seem to have forgotten: from one reference, with many seeds.

Roles, in the order of what a verifier may do with them:

- `reference` knows everything; every suspect is compared with it. `rollback_reference` is another one, for `rollback`.
- `retrain_calibrate`, `unrelated_calibrate`, `shadow_<method>`: a verifier may look at them; they are never scored.
- `retrain_tune` chooses the settings of unlearning methods; never shown to a verifier. Nor are `retrain_cheat`, which
  fakes imitate.
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
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from experiments.interfaces import Pools, Zoo
from experiments.storage.kinds import taken
from experiments.testbeds.unlearning import fakes, makers
from experiments.testbeds.unlearning.facts import known
from experiments.training.recipe import Make, Recipe, zoo_models
from modelgif_core.readout import given_label

Unlearner = Mapping[str, Any]
"""`method`: (model, retain, forget, seed) -> model; `grid`: settings to choose from; `quick`: those of a dry run."""


def unlearning(
    *,
    cache: str,
    pools: Callable[[], Pools],
    label: int | None,
    network: Callable[..., nn.Module],
    train: makers.Train,
    epochs: int,
    unlearners: Mapping[str, Unlearner],
    repelled: Mapping[str, Any],
    pulled: Mapping[str, Any],
    approximate: Mapping[str, Any] | None,
    retrains: int = 5,
    copies: int = 2,
    checkpoints: Sequence[int] = (),
    shadows: int = 0,
    weights: Callable[[], nn.Module] | None = None,
    seed: int = 0,
    device: str = "cpu",
    dry_run: bool = False,
    version: int = 2,
) -> Zoo:
    """The zoo around one reference.

    Args:
        cache: folder of trained models.
        pools: () -> images to forget and to retain.
        label: the class that these forget; None for a random share, where controls that edit a class's output make no
            sense.
        network: (seed) -> an untrained network with an output for each class.
        train: (model, inputs, labels, epochs, seed, after_epoch, state) -> the trained model.
        epochs: passes over the data that models are trained for.
        unlearners: role -> method, grid of settings, and settings of a dry run.
        repelled: role -> settings of a fake whose field is driven from the reference's; it fools the readout that it is
            made for, by default the one that the testbed follows, and others as it happens.
        pulled: role -> settings of a fake whose field is pulled toward retrained models'; likewise.
        approximate: the paper's method, (model, retain, forget, epochs, seed, after_epoch) -> model, and its epochs;
            None leaves it out, as does a random share, since it draws labels of other classes.
        retrains: retrained models that test, as many that calibrate, as many for cheats to imitate, and as many
            unrelated and approximate ones.
        copies: models of every other kind, but for edits that no seed changes, of which there is one.
        checkpoints: after which epochs before the end the weights of the three curves' models are kept.
        shadows: models of every unlearning method that start from other references and are never scored, for U-LiRA.
        weights: loads a reference from elsewhere; by default it is trained here.
        seed: draws all other seeds, for another zoo of the same make.
        device: trains the models.
        dry_run: one epoch of everything, the least number of models, quick settings of every method: to see that all
            parts fit together before days are spent.
        version: of the training code, part of every name; raised when that changes.

    Raises:
        ValueError: if the pools forget another class, there are fewer than three retrained models, which show no
            spread, or fewer than copies, checkpoints that are not before the training's end, or settings
            that an unlearning method or a fake does not take.
    """
    refuse_other_label(label, pools)
    if retrains < 3:
        raise ValueError(f"retrains must be at least 3, not {retrains}: fewer retrained models have no spread")
    if label is not None and copies > retrains:
        raise ValueError(
            f"copies must be at most retrains, {retrains}, not {copies}: the head of each retrained and unrelated "
            "model is swapped once; raise retrains"
        )
    beyond = [epoch for epoch in checkpoints if not 1 <= epoch < epochs]
    if beyond:
        raise ValueError(f"checkpoints must lie before the end of training, after epoch {epochs}, unlike {beyond}")
    refuse_unfit(unlearners, repelled, pulled, approximate)
    if dry_run:
        retrains, copies, checkpoints, epochs, train = 3, 1, (), 1, partial(train, batch_size=40)
        repelled, pulled = ({role: {**given, "epochs": 1} for role, given in f.items()} for f in (repelled, pulled))
        approximate = approximate and {**approximate, "epochs": 1}
        unlearners = {role: {**given, "grid": [given["quick"]]} for role, given in unlearners.items()}
    plan = Plan(
        Path(cache) / "unlearning", pools, label, network, train, epochs, seed, tuple(checkpoints), device, version
    )
    made = {recipe.name: recipe for recipe in plan.trained(retrains, copies, weights)}
    recipes = [
        *made.values(),
        *(plan.approximated(made["reference"], approximate, retrains) if approximate else ()),
        *(r for role, given in unlearners.items() for r in plan.unlearnt(role, given, made, copies, shadows)),
        *plan.controls(made, copies, repelled, pulled),
    ]
    return {model.name: model for recipe in recipes for model in zoo_models(recipe)}


def refuse_other_label(label: int | None, pools: Callable[[], Pools]) -> None:
    """Refuse a class that is not the one that the pools are told to forget; pools that are told none are not asked."""
    told = pools.keywords if isinstance(pools, partial) else {}
    if "label" in told and told["label"] != label:
        said, known = ("null" if one is None else one for one in (label, told["label"]))
        raise ValueError(
            f"testbed.zoo.label is {said}, and testbed.zoo.pools.label, which says what is forgotten, is {known}; "
            "set testbed.zoo.pools.label alone"
        )


def refuse_unfit(
    unlearners: Mapping[str, Unlearner],
    repelled: Mapping[str, Any],
    pulled: Mapping[str, Any],
    approximate: Mapping[str, Any] | None,
) -> None:
    """Refuse settings that only training would meet: what they are of, their functions annotate."""
    for role, given in unlearners.items():
        for dose in (given.get("quick", {}), *given.get("grid", [])):
            taken(f"testbed.zoo.unlearners.{role}", given["method"], dose)
    for role, settings in repelled.items():
        taken(f"testbed.zoo.repelled.{role}", fakes.fake_repel, settings)
    for role, settings in pulled.items():
        taken(f"testbed.zoo.pulled.{role}", fakes.fake_pull, settings)
    taken("testbed.zoo.approximate", makers.approximated, approximate or {})


@dataclass(frozen=True)
class Plan:
    """What all recipes of a zoo share, and which there are."""

    folder: Path
    pools: Callable[[], Pools]
    label: int | None
    network: Callable[..., nn.Module]
    train: makers.Train
    epochs: int
    seed: int
    checkpoints: tuple[int, ...]
    device: str
    version: int

    def recipe(self, role: str, number: int | None, make: Make, *parents: Recipe, **given: Any) -> Recipe:
        """A recipe named by role and number; `checkpoints`, `epochs` and `network` may be given."""
        shared = {"folder": self.folder, "data": self.pools, "seed": self.seed, "version": self.version}
        return Recipe(
            name=role if number is None else f"{role}-{number}",
            role=role,
            architecture="network",
            make=make,
            parents=parents,
            facts=known,
            command="python -m experiments.prepare testbed=unlearning",
            device=self.device,
            **{"network": self.network, **shared, **given},
        )

    def trained(self, retrains: int, copies: int, weights: Callable[[], nn.Module] | None) -> Iterator[Recipe]:
        """All models that are trained from fresh weights, and what rolls back."""
        whole = partial(makers.trained, train=self.train, epochs=self.epochs)
        without = partial(whole, forgetting=True)
        if weights:
            known = partial(makers.with_checkpoint, self.pools, weights)
            reference = self.recipe("reference", None, partial(makers.published, load=weights), fingerprint=known)
        else:
            reference = self.recipe("reference", None, whole)
        yield reference
        yield self.recipe("retrain_tune", None, without)
        for number in range(retrains):
            yield self.recipe("unrelated", number, whole, checkpoints=self.checkpoints, epochs=self.epochs)
            yield self.recipe("retrain", number, without, checkpoints=self.checkpoints, epochs=self.epochs)
            yield self.recipe("retrain_calibrate", number, without)
            yield self.recipe("retrain_cheat", number, without)
        for number in range(copies):
            yield self.recipe("unrelated_calibrate", number, whole)
            if not weights:
                yield self.recipe("retrain_same_start", number, partial(without, start=reference.own_seed))
        half = max(1, round(self.epochs / 2))
        base = self.recipe("rollback_base", None, partial(without, epochs=half))
        yield self.recipe("rollback_reference", None, partial(whole, epochs=half), base)
        for number in range(copies):
            yield self.recipe("rollback", number, partial(without, epochs=half), base)

    def approximated(self, reference: Recipe, given: Mapping[str, Any], count: int) -> Iterator[Recipe]:
        """The paper's method, if there is a class to forget; its curve ends with it."""
        kept = tuple(epoch for epoch in self.checkpoints if epoch < given["epochs"])
        for number in range(count if self.label is not None else 0):
            make = partial(makers.approximated, **given)
            yield self.recipe("approximate", number, make, reference, checkpoints=kept, epochs=given["epochs"])

    def unlearnt(
        self, role: str, given: Unlearner, made: Mapping[str, Recipe], copies: int, shadows: int
    ) -> Iterator[Recipe]:
        """One unlearning method from the reference, and from others for shadows."""
        make = partial(makers.unlearnt, method=given["method"], grid=given.get("grid", [{}]))
        for number in range(copies):
            yield self.recipe(role, number, make, made["reference"], made["retrain_tune"])
        for number in range(shadows):
            other = made[f"unrelated_calibrate-{number % copies}"]
            yield self.recipe(f"shadow_{role}", number, make, other, made["retrain_tune"])

    def controls(
        self, made: Mapping[str, Recipe], copies: int, repelled: Mapping[str, Any], pulled: Mapping[str, Any]
    ) -> Iterator[Recipe]:
        """Models that only seem to have forgotten, and those that take encoder and head apart."""
        reference, tune = made["reference"], made["retrain_tune"]
        cheat = [recipe for recipe in made.values() if recipe.role == "retrain_cheat"]
        shifted = partial(fakes.shifted, network=self.network, pools=self.pools)
        # Whatever its seed, one function under the softmax: a second copy would be the same model counted twice.
        yield self.recipe("logit_shift", None, makers.logit_shift, reference, network=shifted)
        for number in range(copies):
            for role, settings in repelled.items():
                make = partial(makers.fake_repel, **{"readout": given_label, **settings})
                yield self.recipe(role, number, make, reference)
            for role, settings in pulled.items():
                make = partial(makers.fake_pull, **{"readout": given_label, **settings})
                yield self.recipe(role, number, make, reference, *cheat)
        if self.label is None:
            return
        yield self.recipe("head_zeroed", None, makers.head_zeroed, reference)
        yield self.recipe("head_suppressed", None, makers.head_suppressed, reference)
        with_all, without = (partial(makers.head_retrained, forgetting=forgetting) for forgetting in (False, True))
        for number in range(copies):
            yield self.recipe("head_retrained", number, without, reference)
            yield self.recipe("head_distilled", number, makers.head_distilled, reference, tune)
            yield self.recipe("swap_saw_without", number, without, made[f"unrelated-{number}"])
            yield self.recipe("swap_new_with", number, with_all, made[f"retrain-{number}"])
