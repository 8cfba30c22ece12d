"""Attacks of thieves who hide: each leaves the victim alone, comes out the same again, and does what it says."""

import copy
from functools import partial

import pytest
import torch
from hydra.utils import instantiate
from test_lineage import SMALL, TINY
from torch import nn

from experiments.methods.features.similarity import cka
from experiments.networks.forward import accuracy, predictions
from experiments.networks.heads import outputs_and_features, penultimate
from experiments.samples import digits
from experiments.storage.configuration import resolved
from experiments.testbeds.ip_protection.answers import likeness
from experiments.testbeds.ip_protection.harder.removal import farthest, mixed, remove
from experiments.testbeds.ip_protection.harder.robust import hostile, train_adversarially
from experiments.testbeds.ip_protection.harder.weights import add_noise, round_weights
from experiments.testbeds.ip_protection.lineage import lineage
from experiments.training.fit import fit

IMAGES, LABELS = digits.digits("attacker", 96)
QUICK = {"epochs": 2, "batch_size": 16}
ATTACKS = {
    "removal": partial(remove, **QUICK),
    "adversarial": partial(train_adversarially, **QUICK),
    "rounding": partial(round_weights, bits=4),
    "noise": add_noise,
}
DRAWN = {"removal", "adversarial", "noise"}
"""What another seed makes another copy of."""


HIDDEN = ["removal", "adversarial", "rounding", "noise", "finetune_fast"]
"""The roles of harder attacks."""


@pytest.fixture(scope="module")
def victim():
    images, labels = digits.digits("victim")
    return fit(SMALL(seed=0).train(), images, labels, epochs=8, rate=1e-2, seed=0)


def same(one, other):
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(first, second) for first, second in pairs)


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_leaves_the_victim_alone_and_comes_out_the_same_again(name, victim):
    before, attack = copy.deepcopy(victim), ATTACKS[name]
    made = attack(victim, IMAGES, LABELS, seed=1)
    assert same(victim, before)
    assert not same(made, victim)
    assert not made.training
    assert same(made, attack(victim, IMAGES, LABELS, seed=1))
    assert same(made, attack(victim, IMAGES, LABELS, seed=2)) == (name not in DRAWN)


def linear(*rows):
    model = nn.Linear(len(rows[0]), len(rows), bias=True)
    with torch.no_grad():
        model.weight.copy_(torch.tensor(rows))
        model.bias.copy_(torch.linspace(0.123, 0.456, len(rows)))
    return model


def test_weights_are_rounded_to_the_levels_of_their_own_channel():
    # Two bits and a sign: thirds of the largest weight of each row.
    rounded = round_weights(linear([0.9, 0.4, -0.5], [0.0, 0.0, 0.0], [-3.0, 1.4, 1.6]), IMAGES, LABELS, seed=0, bits=3)
    assert rounded.weight.flatten().tolist() == pytest.approx([0.9, 0.3, -0.6, 0, 0, 0, -3.0, 1.0, 2.0])
    assert rounded.bias.tolist() == pytest.approx([0.123, 0.2895, 0.456])


@pytest.mark.parametrize("bits", [2, 5, 8])
def test_a_channel_has_no_more_levels_than_its_bits(bits, victim):
    for weight in round_weights(victim, IMAGES, LABELS, seed=0, bits=bits).parameters():
        if weight.ndim > 1:
            assert max(len(channel.unique()) for channel in weight) <= 2**bits - 1


@pytest.mark.parametrize("scale", [0.05, 0.5])
def test_noise_has_the_scale_that_it_says(scale):
    model = nn.Linear(300, 300)
    for before, after in zip(
        model.parameters(), add_noise(model, IMAGES, LABELS, seed=0, scale=scale).parameters(), strict=True
    ):
        noise = (after - before).detach()
        assert noise.std().item() == pytest.approx(scale * before.std().item(), rel=0.15)
        assert abs(noise.mean().item()) < 0.2 * scale * before.std().item()


def test_no_noise_is_the_victim_itself_and_a_single_number_stays(victim):
    assert same(add_noise(victim, IMAGES, LABELS, seed=0, scale=0), victim)
    assert add_noise(nn.Linear(1, 1), IMAGES, LABELS, seed=0).weight.isfinite().all()


def test_mixed_logits_keep_the_label_and_all_their_values():
    logits = torch.randn(50, 10, generator=torch.Generator().manual_seed(0))
    found = mixed(logits, 0.9)
    assert torch.equal(found.argmax(1), logits.argmax(1))
    other = 0.1 * logits + 0.9 * logits[farthest(logits)]
    assert torch.allclose(found.sort(1).values, other.sort(1).values)
    assert torch.equal(mixed(logits, 0), logits)


def test_the_farthest_row_is_the_farthest():
    rows = torch.randn(20, 5, generator=torch.Generator().manual_seed(0))
    assert farthest(rows).tolist() == [int((rows - row).norm(dim=1).argmax()) for row in rows]


def test_what_the_head_read_comes_with_the_outputs_and_their_gradients(victim):
    outputs, features = outputs_and_features(victim, IMAGES[:4])
    assert torch.allclose(outputs, predictions(victim, IMAGES[:4]))
    assert torch.allclose(features, penultimate(victim, IMAGES[:4]))
    assert features.requires_grad


@pytest.fixture(scope="module")
def hidden(tmp_path_factory):
    """A victim of the default zoo's, fine-tuned, and a copy by each harder attack, as configured."""
    folder = tmp_path_factory.mktemp("cache")
    zoo = instantiate(resolved("testbed/zoo=lineage_hard", f"cache={folder}")["testbed"]["zoo"], _convert_="all")
    names = {"victim": "victim-repvgg-0"} | {role: f"{role}-repvgg-0" for role in ("finetune_a", *HIDDEN)}
    for name in names.values():
        zoo[name].prepare()
    return {role: zoo[name] for role, name in names.items()}


def test_every_attack_leaves_a_working_copy_with_the_settings_that_the_zoo_has(hidden):
    for role, model in hidden.items():
        assert model.facts()["accuracy"] > 0.9 * hidden["victim"].facts()["accuracy"], role


def test_removal_drives_features_farther_from_the_victims_than_fine_tuning_does(hidden):
    seen = digits.digits("evaluation").inputs
    found = {role: penultimate(hidden[role].load(), seen) for role in ("victim", "finetune_a", "removal")}
    assert cka(found["removal"], found["victim"]) > cka(found["finetune_a"], found["victim"]) + 0.15


def test_adversarial_training_makes_a_copy_harder_to_fool_and_examples_stay_within_their_radius(hidden):
    seen = digits.digits("evaluation", 200)

    def right(role):
        model = hidden[role].load()
        examples = hostile(model, *seen, radius=0.1)
        assert 0 < (examples - seen.inputs).abs().max() <= 0.1 + 1e-6
        assert 0 <= examples.min() <= examples.max() <= 1
        return accuracy(model, examples, seen.labels)

    assert right("adversarial") > right("victim") + 0.3


@pytest.mark.parametrize(
    ("attack", "said"),
    [
        (partial(remove, batch_size=1), r"batch_size must be 2 or more: 1$"),
        (partial(remove, mix=1.5), r"mix must be a share of the other image's logits, from 0 to 1, not 1\.5$"),
        (partial(train_adversarially, radius=0), r"radius must be a change of a pixel above 0 and at most 1, not 0$"),
        (partial(round_weights, bits=1), r"bits must be at least 2, of which one is the sign, not 1$"),
        (partial(add_noise, scale=-0.1), r"scale must be 0 or more, .*, not -0\.1$"),
    ],
)
def test_impossible_settings_are_refused(attack, said, victim):
    with pytest.raises(ValueError, match=said):
        attack(victim, IMAGES, LABELS, seed=0)


HARDER = {"noise": add_noise, "rounding": [partial(round_weights, bits=bits) for bits in (8, 4, 3)]}


ONE = TINY["numbers"] | {"derived": 1}


def test_a_zoo_has_as_many_hidden_copies_as_it_is_told_and_all_its_other_files_stay(tmp_path):
    zoo = lineage(cache=str(tmp_path), harder=HARDER, **TINY)
    plain = lineage(cache=str(tmp_path), **TINY)
    assert [name for name in zoo if name not in plain] == [
        *(f"noise-resnet-{number}" for number in range(2)),
        *(f"rounding-resnet-{number}" for number in range(3)),
    ]
    for name in plain:
        assert zoo[name].prepare.args[0].file() == plain[name].prepare.args[0].file()
    fidelity = {}
    for name in ("noise-resnet-1", "rounding-resnet-0", "rounding-resnet-2"):
        zoo[name].prepare()
        fidelity[name] = zoo[name].facts()["fidelity"]
    assert fidelity["noise-resnet-1"] > 0.5
    assert fidelity["rounding-resnet-0"] > max(0.9, fidelity["rounding-resnet-2"])
    expected = round_weights(zoo["victim-resnet-0"].load(), IMAGES, LABELS, seed=0, bits=3)
    assert same(zoo["rounding-resnet-2"].load(), expected)


def test_an_attack_that_draws_nothing_is_not_counted_several_times(tmp_path):
    alone = partial(round_weights, bits=8)
    with pytest.raises(ValueError, match="harder: 'rounding' draws nothing, so that its 2 models would be one; give a"):
        lineage(cache=str(tmp_path), harder={"rounding": alone}, **TINY)
    for harder, settings in ({"rounding": [alone]}, TINY), ({"rounding": alone}, TINY | {"numbers": ONE}):
        zoo = lineage(cache=str(tmp_path), harder=harder, **settings)
        assert [name for name in zoo if name.startswith("rounding")] == ["rounding-resnet-0"]


def test_a_hidden_copy_cannot_have_the_role_of_other_models(tmp_path):
    with pytest.raises(ValueError, match="harder: 'pruning' is the role of other models of the zoo; give the attack"):
        lineage(cache=str(tmp_path), harder={"pruning": add_noise}, **TINY)


def test_the_zoo_of_hidden_copies_is_the_default_one_and_five_attacks_that_are_scored(config):
    hard = config("testbed/zoo=lineage_hard", "testbed/attacks=hard", "testbed.extractions=[]")["testbed"]
    assert [*hard["attacks"]] == [*hard["zoo"].pop("harder")] == HIDDEN
    assert hard["zoo"].pop("numbers")["held_out"] * len(hard["zoo"]["networks"]) >= 19  # else no p is at most 5 %
    default = config()["testbed"]["zoo"]
    del default["numbers"]
    assert hard["zoo"] == default


def test_copies_that_answer_almost_like_the_victim_are_at_almost_no_divergence():
    answers = torch.randn(500, 10, generator=torch.Generator().manual_seed(0)).softmax(1)
    assert likeness(answers * (1 + 1e-7), answers)["divergence"] == pytest.approx(0, abs=1e-6)
