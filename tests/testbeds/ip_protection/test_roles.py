"""Who is in the default lineage zoo, who asks how much, and that nobody has another one's images."""

import itertools
from collections import Counter

import pytest
import torch
from hydra.utils import instantiate

from experiments.interfaces import Samples
from experiments.samples import digits, photographs
from experiments.testbeds.ip_protection.plan import EARLY


def test_the_default_zoo_has_nine_attacks_four_families_and_six_strangers_of_each_kind(config):
    testbed = instantiate(config()["testbed"], _convert_="all")
    roles = Counter(model.role for model in testbed.zoo.values())
    assert roles["victim"] == 1
    assert len(testbed.attacks) == 9
    families = {model.architecture for model in testbed.zoo.values()}
    assert len(families) == 4
    everywhere = ["extract_l", "extract_p", "extract_adv", "held_out_original", "independent", "surrogate"]
    kinds = [role for role in roles if role.startswith(("unrelated", "matched", "same_images"))]
    assert len(kinds) == 5
    for role in [*everywhere, *kinds]:
        assert {model.architecture for model in testbed.zoo.values() if model.role == role} == families
    assert min(roles[role] for role in kinds) >= 6
    assert min(roles[role] for role in ("held_out_original", "independent", "surrogate")) >= 3 * len(families)


def test_zoo_seeds_take_the_families_in_turn_as_the_victims(config):
    victims = []
    for seed in range(5):
        zoo = instantiate(config(f"seed={seed}")["testbed"], _convert_="all").zoo
        victims.append(next(model.architecture for model in zoo.values() if model.role == "victim"))
    assert len(set(victims[:4])) == 4
    assert victims[4] == victims[0]


@pytest.mark.parametrize("queries", [100, 400, 1500, 6000])
def test_no_attacker_asks_more_than_its_queries(queries, config):
    zoo = instantiate(config(f"testbed.zoo.queries={queries}")["testbed"], _convert_="all").zoo
    asked = {model.role: len(seen_by(model)) for model in zoo.values() if model.role.startswith("extract")}
    assert asked == {"extract_l": queries, "extract_p": queries, "extract_adv": min(queries, 1500)}


def seen_by(model):
    """The images that a model learns from."""
    return model.prepare.args[0].data().inputs


def seen(model):
    """The same as bytes."""
    return {image.numpy().tobytes() for image in seen_by(model)}


@pytest.mark.parametrize("seed", [0, 3])
def test_nobody_has_an_image_of_somebody_else_unless_its_role_says_so(seed, config):
    testbed = instantiate(config(f"seed={seed}")["testbed"], _convert_="all")
    owners = {}
    for model in testbed.zoo.values():
        owners.setdefault(model.role.removesuffix(EARLY), set()).update(seen(model))
    pool = {image.numpy().tobytes() for image in testbed.samples.inputs}
    judged = {image.numpy().tobytes() for image in digits.digits("evaluation", draw=seed).inputs}
    attackers = {"finetune_a", "finetune_l", "pruning", "extract_l", "extract_p", "extract_adv"}
    allowed = {frozenset(pair) for pair in itertools.combinations([*attackers, "matched_original"], 2)}
    allowed |= {frozenset(("victim", "same_images_original"))}
    allowed |= {frozenset(("surrogate", "independent")), frozenset(("transfer_a", "transfer_l"))}
    owners |= {"the pool": pool, "the judges": judged}
    for one, other in itertools.combinations(owners, 2):
        shared = owners[one] & owners[other]
        assert (len(shared) > 2) == (frozenset((one, other)) in allowed), (
            one,
            other,
            len(shared),
        )  # two scans are twice


def test_the_owner_keeps_what_its_students_were_halfway_and_nobody_is_scored_by_it(config):
    testbed = instantiate(config()["testbed"], _convert_="all")
    early = Counter(model.role for model in testbed.zoo.values() if model.epoch and model.role.endswith(EARLY))
    assert early == {"surrogate_early": 12, "independent_early": 8}
    assert not early.keys() & testbed.tested_roles
    assert not early.keys() & {testbed.zoo[name].role for pair in testbed.pairs() for name in pair}


def test_every_zoo_deals_the_images_out_anew(config):
    zoos = [instantiate(config(f"seed={seed}")["testbed"], _convert_="all") for seed in (0, 1)]
    pools = [{image.numpy().tobytes() for image in testbed.samples.inputs} for testbed in zoos]
    victims = [seen(testbed.zoo[name]) for testbed in zoos for name in testbed.zoo if name.startswith("victim")]
    for one, other in (pools, victims):
        assert len(one & other) < len(one) / 4


def test_every_second_independent_model_of_the_owners_learns_from_queries_with_true_labels(config):
    zoo = instantiate(config()["testbed"], _convert_="all").zoo
    asked = seen(next(model for model in zoo.values() if model.role == "surrogate"))
    for role, shared in {"held_out_original": set(), "independent": asked}.items():
        learn = {name: seen_by(model) for name, model in zoo.items() if model.role == role}
        assert Counter(map(len, learn.values())) == {400: 8, 6000: 8}
        assert all(seen(zoo[name]) & asked == shared for name, images in learn.items() if len(images) == 6000)


PARTS = {
    "victim": ["victim", "same_images_original"],
    "attacker": ["finetune_a", "finetune_l", "pruning", "extract_l", "extract_p", "extract_adv", "matched_original"],
    "calibrates": ["held_out_original", "held_out_corrupted", "held_out_turned"],
    "selects": ["independent", "surrogate"],
    "stranger": ["unrelated_original", "unrelated_corrupted", "unrelated_turned"],
}
"""Whose photographs each role has; transfers have the attackers', and published models none of the zoo's."""


def test_every_model_of_the_zoo_of_photographs_learns_from_those_of_its_part_alone(config, monkeypatch):
    count = {"train": 20000, "test": 4000}

    def read(source, root):
        images = torch.rand(count[source], 3, 8, 8, generator=torch.Generator().manual_seed(0))
        first = 0 if source == "train" else count["train"]
        return Samples(images, 2 * torch.arange(first, first + count[source]))  # a label says which photograph it is

    monkeypatch.setattr(photographs, "_read", read)
    place = ["testbed/zoo=lineage_mid_published", "testbed.samples.root=fabricated"]
    testbed = instantiate(config(*place)["testbed"], _convert_="all")
    learnt = {}
    for model in testbed.zoo.values():
        labels = model.prepare.args[0].data().labels
        if labels is not None:  # turned ones lose the last bit
            learnt.setdefault(model.role.removesuffix(EARLY), set()).update((labels // 2).tolist())
    parts, first = {}, 0
    for part, size in photographs.PARTS.items():
        parts[part], first = set(range(first, first + size)), first + size
    owner = sorted(parts["owner"])
    parts["calibrates"], parts["selects"] = set(owner[: len(owner) // 2]), set(owner[len(owner) // 2 :])
    expected = {role: parts[part] for part, roles in PARTS.items() for role in roles}
    expected |= {role: parts["attacker"] for role in ("transfer_10c", "transfer_a", "transfer_l")}
    assert learnt.keys() == expected.keys()
    for role, images in learnt.items():
        assert images <= expected[role], role
    assert set((testbed.samples.labels // 2).tolist()) == set(range(22000, 24000))
