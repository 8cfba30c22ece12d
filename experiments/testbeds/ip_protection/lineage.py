"""A lineage zoo: a victim, what attackers make of it, and strangers that owe it nothing.

Roles: `victim`; the nine attacks; strangers, all scored: `unrelated_<task>` with images of their own,
`matched_<task>` with the attackers' queries and true labels, `same_images_<task>` with the victim's images,
`elsewhere_<task>` published by others; and what the owner trains by itself and nobody scores: `held_out_<task>`,
independent models that calibrate, `independent`, such models that select, and `surrogate`, copies that select; and
`independent_early` and `surrogate_early`, some of the latter two in the middle of their training.
Attackers who extract have unlabelled images and ask the victim; none of them has one of its training images, on which
its answers are the true labels and teach nothing of it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from experiments.interfaces import Samples, Zoo
from experiments.networks.resnet_cifar import load_published, published_file, resnet
from experiments.samples.moved import Move
from experiments.storage.identity import parameters
from experiments.testbeds.ip_protection.given import Attacks, Harder, Learner, Numbers, Published, Task, Watermark
from experiments.testbeds.ip_protection.makers import derived, hardened, loaded, pruned, trained
from experiments.testbeds.ip_protection.plan import BATCH, Plan, rehearsed
from experiments.training.recipe import Make, Recipe


def lineage(
    *,
    cache: str,
    tasks: Mapping[str, Task],
    networks: Mapping[str, Learner | None],
    attacks: Attacks,
    victims: list[str],
    numbers: Numbers,
    images: Mapping[str, int | None],
    queries: int,
    presentations: int,
    move: Move,
    published: Published | None = None,
    harder: Harder | None = None,
    watermark: Watermark | None = None,
    apart: bool | None = None,
    seed: int = 0,
    device: str = "cpu",
    dry_run: bool = False,
    version: int = 4,
) -> Zoo:
    """The zoo: 9 attacks, strangers, held-out models and surrogates of every family.

    Args:
        cache: folder of trained models.
        tasks: three of them: the victim's own, the same under corruption, and one with other labels.
        networks: family -> network and how it learns; None leaves a family out.
        attacks: the eight of `Attacks` -> function and settings.
        victims: families that may be the victim's, or published models; zoo seeds take them in turn.
        numbers: how many models of each sort.
        images: task -> how many labelled images of it everybody has who does not ask the victim; None for all. But
            pruning has all of the attackers', to repair and to judge, and matched strangers and every second model of
            the owner's learn from all that is asked, with true labels.
        queries: how many images attackers and the owner ask the victim: a part's own, then moved copies of them.
        presentations: about how many images a student is shown in all: whole epochs of the queries, none beyond that.
        move: moves an image that is asked again.
        published: models that others have trained, if there are any: strangers, or the victim.
        harder: role -> an attack that goes on from the victim's weights on its task, of which `numbers` says how many
            models it makes, each from another seed; or a list of attacks that make one each. None for none.
        watermark: what the victim learns besides its task, if anything; all that comes of the victim is made anew.
        apart: whether models that calibrate learn from the first half of the owner's images, and those that select from
            the second; otherwise they learn from the same, and what is learnt from some takes the others for farther
            than strangers are.
        seed: draws all others, for another zoo of the same make.
        device: trains the models.
        dry_run: two batches of everything and one model of each sort in every family, to see that all parts fit
            together before days are spent.
        version: of the training code, part of every name; raised when that changes.

    Raises:
        ValueError: if a victim's family is not among the networks, there are not three tasks, a number is below 1,
            nothing is asked, students would not see every query, one of `harder` has the role of other models or would
            make one model several times, or a watermark is for a published victim.
    """
    networks = {family: learner for family, learner in networks.items() if learner}
    foreign = {f"resnet{depth}": depth for depth in published["depths"]} if published else {}
    for family in victims or [""]:
        if family not in {**networks, **foreign}:
            raise ValueError(f"victims must be some of {', '.join([*networks, *foreign])}, not {family or 'none'!r}")
    if len(tasks) != 3:
        raise ValueError(f"tasks must be the victim's, a corrupted and another one, not {', '.join(tasks) or 'none'}")
    for name, number in {**numbers, "queries": queries, "presentations": presentations}.items():
        if not isinstance(number, int) or number < 1:
            raise ValueError(f"{name} must be at least 1, not {number}: without one there is nothing to compare")
    if presentations < queries:
        raise ValueError(
            f"presentations must be at least queries, {queries}, not {presentations}: a student sees every query once"
        )
    if set(images) != set(tasks):
        raise ValueError(f"images must say how many of {', '.join(tasks)}, not of {', '.join(images) or 'none'}")
    folder = Path(cache) / "lineage"
    if dry_run:
        numbers, networks, attacks = rehearsed(numbers, networks, attacks)
        images, queries, presentations = dict.fromkeys(images), 2 * BATCH, 2 * BATCH
    given = (folder, tasks, networks, attacks, numbers, images, queries, presentations, move, seed, version, device)
    plan = Plan(*given, dry_run=dry_run, apart=bool(apart))
    family = victims[seed % len(victims)]
    others = [elsewhere(plan, published["root"], foreign[name]) for name in foreign if published and name != family]
    known: dict[str, Any] = {}
    if published and family in foreign:
        if watermark:
            raise ValueError(
                f"a watermark is taught, and {family} has been trained by others; take victims of {', '.join(networks)}"
            )
        # It has learnt from everybody's images, on which its answers are the true labels: nobody can extract it.
        target = elsewhere(plan, published["root"], foreign[family], role="victim")
        made = [*continued(plan, target)]
    else:
        learn = marked(plan, family, watermark) if watermark else plan.alone(family)
        target = plan.recipe("victim", family, 0, learn, part="victim")
        known = {"taught": target.data, "triggers": watermark and watermark["triggers"]}
        made = [*surrogates(plan, target), *extractions(plan, target), *continued(plan, target), *moved(plan, target)]
    recipes = [target, *strangers(plan), *others, *independent(plan), *made]
    if taken := sorted({recipe.role for recipe in recipes} & set(harder or {})):
        raise ValueError(f"harder: {taken[0]!r} is the role of other models of the zoo; give the attack another name")
    recipes += against(plan, target, harder or {})
    models = {model.name: model for recipe in recipes for model in plan.models(recipe, target)}
    return models | {target.name: replace(models[target.name], learnt=plan.learnt, **known)}


def marked(plan: Plan, family: str, watermark: Watermark) -> Make:
    """Trained from scratch as this family learns from few images, and with a watermark."""
    learn = partial(watermark["learn"], train=plan.networks[family]["train"], triggers=watermark["triggers"])
    return partial(trained, train=learn)


def strangers(plan: Plan) -> Iterator[Recipe]:
    """Models that owe the victim nothing, all of them scored."""
    for family in plan.networks:
        for number in range(plan.numbers["strangers"]):
            alone = plan.alone(family)
            for task in plan.tasks:
                yield plan.recipe(f"unrelated_{task}", family, number, alone, task=task, part="stranger")
            yield plan.recipe(f"matched_{plan.own}", family, number, plan.studious(family), which="asked")
            yield plan.recipe(f"same_images_{plan.own}", family, number, alone, part="victim")


def elsewhere(plan: Plan, root: str, depth: int, *, role: str | None = None) -> Recipe:
    """A model that others have trained on images of the victim's task, perhaps on everybody's: a stranger, by default.

    All depths are one family.
    """
    make = partial(loaded, load=partial(load_published, published_file(root, depth), depth))
    network = partial(resnet, depth, classes=10)
    recipe = plan.recipe(role or f"elsewhere_{plan.own}", f"resnet{depth}", 0, make, network=network)
    return replace(recipe, data=_no_images, architecture="resnet_cifar")


def independent(plan: Plan) -> Iterator[Recipe]:
    """Strangers that the owner trains to calibrate, and to select. None is scored.

    Every second one of the victim's task learns from what copies learn from, with true labels: what parts copies from
    these is lineage, not how they were trained. Of those that select it is kept what they were halfway.
    """
    for family in plan.networks:
        alone, study = plan.alone(family), plan.studious(family)
        for role, count in ((f"held_out_{plan.own}", "held_out"), ("independent", "independent")):
            for number in range(plan.numbers[count]):
                make, which = (study, "asked") if number % 2 else (alone, "few")
                chooses = role == "independent"
                kept = (plan.halfway,) if number % 2 and chooses else ()
                given: dict[str, Any] = {"which": which, "checkpoints": kept, **plan.owners(chooses=chooses)}
                yield plan.recipe(role, family, number, make, **given)
        for task in list(plan.tasks)[1:]:
            for number in range(plan.numbers["held_out"]):
                given = {"task": task, **plan.owners(chooses=False)}
                yield plan.recipe(f"held_out_{task}", family, number, alone, **given)


def surrogates(plan: Plan, target: Recipe) -> Iterator[Recipe]:
    """Copies that the owner makes to select, in turn by probabilities and by labels, and what they were halfway."""
    attacks = plan.attacks["extract_p"], plan.attacks["extract_l"]
    for family in plan.networks:
        for number in range(plan.numbers["surrogates"]):
            student = plan.student(family, attacks[number % 2])
            given: dict[str, Any] = {"which": "asked", "checkpoints": (plan.halfway,), **plan.owners(chooses=True)}
            yield plan.recipe("surrogate", family, number, student, target, **given)


def extractions(plan: Plan, target: Recipe) -> Iterator[Recipe]:
    """Students of the victim in every family."""
    for family in plan.networks:
        by_label, by_probability = (plan.student(family, plan.attacks[role]) for role in ("extract_l", "extract_p"))
        hostile = partial(hardened, attack=plan.attacks["extract_adv"])
        for number in range(plan.numbers["extracted"]):
            stolen = plan.recipe("extract_l", family, number, by_label, target, which="asked")
            yield stolen
            yield plan.recipe("extract_p", family, number, by_probability, target, which="asked")
            yield plan.recipe("extract_adv", family, number, hostile, target, stolen, which="own")


def continued(plan: Plan, target: Recipe) -> Iterator[Recipe]:
    """Models that go on from the victim's weights, on its task."""
    make = partial(plan.recipe, network=target.network)
    family, rungs = target.architecture, plan.numbers["pruned"]
    for number in range(plan.numbers["derived"]):
        for role in ("finetune_a", "finetune_l"):
            yield make(role, family, number, partial(derived, attack=plan.attacks[role]), target)
    ladder = partial(pruned, attack=partial(plan.attacks["pruning"], rungs=rungs), path=plan.seed)
    yield make("pruning", family, rungs, ladder, target, which="all", checkpoints=tuple(range(1, rungs)))


def against(plan: Plan, target: Recipe, harder: Harder) -> Iterator[Recipe]:
    """Models that go on from the victim's weights on its task, made by those who know of the search for copies."""
    for role, given in harder.items():
        count = plan.numbers["derived"]
        if not isinstance(given, Sequence) and count > 1 and draws_nothing(given):
            raise ValueError(
                f"harder: {role!r} draws nothing, so that its {count} models would be one; give a list of attacks with "
                f"different settings as testbed.zoo.harder.{role}, or of this one alone"
            )
        attacks = given if isinstance(given, Sequence) else [given] * count
        for number, attack in enumerate(attacks):
            make = partial(derived, attack=attack)
            yield plan.recipe(role, target.architecture, number, make, target, network=target.network)


def draws_nothing(attack: Callable[..., Any]) -> bool:
    """Whether an attack does without a seed."""
    seed = (parameters(attack) or {}).get("seed")
    return seed is not None and seed.default is None


def moved(plan: Plan, target: Recipe) -> Iterator[Recipe]:
    """Models that go on from the victim's weights, on other tasks."""
    family, attacks = target.architecture, plan.attacks
    _, corrupted, other = plan.tasks
    for number in range(plan.numbers["derived"]):
        turn = attacks["transfer_a" if number % 2 else "transfer_l"]
        yield plan.recipe("transfer_10c", family, number, partial(derived, attack=turn), target, task=corrupted)
        for role in ("transfer_a", "transfer_l"):
            yield plan.recipe(role, family, number, partial(derived, attack=attacks[role]), target, task=other)


def _no_images() -> Samples:
    return Samples(torch.empty(0))
