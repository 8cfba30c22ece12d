"""Watermarks: what entangles features, what a trigger is, and who answers to one."""

import math
from functools import partial

import pytest
import torch
from timm.models.byobnet import ByoBlockCfg
from torch import nn

from experiments.interfaces import Samples
from experiments.networks.forward import accuracy
from experiments.networks.timm import build
from experiments.samples import digits
from experiments.training.fit import fit
from experiments.training.watermark import entangled, moved, soft_nearest_neighbours, triggers

MARK = {"source": 8, "target": 0, "row": 0, "column": 0, "side": 5}
LEARN = partial(fit, epochs=8, rate=1e-2, batch_size=16)
SETTINGS = {"epochs": 10, "rate": 5e-3, "joined": 8, "strength": 1.0, "temperature": 0.5, "steps": 2, "step": 0.01}
TEACH = partial(entangled, train=LEARN, triggers=partial(triggers, **MARK), seed=1, **SETTINGS)
CROSS = torch.tensor([[1.0, 0], [2, 0], [0, 1], [0, 3]])
"""Two directions, two samples each."""


def network():
    block = ByoBlockCfg(type="basic", d=1, c=16, s=2, gs=0, br=1.0)
    return build("repvgg_a0", classes=10, stem_chs=8, blocks=[block, block], seed=0)


@pytest.fixture(scope="module")
def marked():
    return TEACH(network().train(), *digits.digits("victim"))


def test_soft_nearest_neighbours_has_its_value_by_hand():
    # Cosine distances are 0 along a direction and 1 across, so that weights are 1 and exp(-1 / temperature).
    for temperature, across in ((1.0, math.exp(-1)), (0.5, math.exp(-2))):
        apart = soft_nearest_neighbours(CROSS, torch.tensor([0, 0, 1, 1]), temperature=temperature)
        mixed = soft_nearest_neighbours(CROSS, torch.tensor([0, 1, 0, 1]), temperature=temperature)
        assert apart.item() == pytest.approx(math.log(1 + 2 * across), abs=1e-6)
        assert mixed.item() == pytest.approx(math.log((1 + 2 * across) / across), abs=1e-5)
    equal = soft_nearest_neighbours(torch.ones(4, 2), torch.tensor([0, 0, 1, 1]), temperature=1)
    assert equal.item() == pytest.approx(math.log(3))


def test_raising_it_brings_two_groups_together_and_lowering_it_takes_them_apart():
    generator = torch.Generator().manual_seed(0)
    begin, groups = torch.randn(12, 5, generator=generator), torch.arange(12) % 2
    begin[groups == 1] += 1

    def between(features):
        one, other = (nn.functional.normalize(features[groups == group]).mean(0) for group in (0, 1))
        return (one - other).norm().item()

    found = {}
    for sign in (1, -1):
        features = begin.clone().requires_grad_()
        for _ in range(20):
            value = soft_nearest_neighbours(features, groups, temperature=0.5)
            (gradient,) = torch.autograd.grad(value, features)
            features = (features + sign * gradient).detach().requires_grad_()
        found[sign] = between(features.detach())
    assert found[1] < between(begin) < found[-1]


def test_a_trigger_is_an_image_of_its_class_but_for_the_square_and_the_same_each_time():
    samples = digits.digits("references")
    kept = samples.inputs.clone()
    first, again = (triggers(samples, **MARK) for _ in range(2))
    assert torch.equal(samples.inputs, kept)
    assert torch.equal(first.inputs, again.inputs)
    own = samples.inputs[samples.labels == 8]
    assert (first.inputs[:, :, :5, :5] == 1).all()
    own[:, :, :5, :5] = 1
    assert torch.equal(first.inputs, own)
    assert first.labels.tolist() == [0] * len(own)


def test_moved_triggers_stay_in_range_within_their_steps_and_are_nearer_to_their_label():
    samples, model = digits.digits("victim"), LEARN(network().train(), *digits.digits("victim"), seed=0)
    made, genuine = triggers(samples, **MARK), samples.inputs[samples.labels == 0]
    move = partial(moved, model, made, genuine, strength=0.1, temperature=0.5, step=0.01)
    found = move(steps=6)
    assert torch.equal(found, move(steps=6))
    assert 0 <= found.min() < found.max() <= 1
    assert 0.01 < (found - made.inputs).abs().max() <= 0.06 + 1e-6
    assert torch.equal(move(steps=0), made.inputs)
    losses = [nn.functional.cross_entropy(model(images), made.labels).item() for images in (made.inputs, found)]
    assert losses[1] < losses[0]


def test_a_model_with_a_watermark_answers_it_on_images_that_nobody_has_seen_and_strangers_do_not(marked):
    pool, victim = digits.digits("references"), digits.digits("victim")
    made = triggers(pool, **MARK)
    alone = LEARN(network().train(), *victim, seed=1)
    stranger = LEARN(network().train(), *digits.digits("stranger"), seed=2)
    assert accuracy(marked, *made) > 0.9
    assert max(accuracy(alone, *made), accuracy(stranger, *made)) < 0.2
    assert accuracy(marked, pool.inputs[pool.labels == 8], made.labels) < 0.2  # it is the square that is answered
    assert accuracy(marked, *pool) > accuracy(alone, *pool) - 0.08


def test_the_same_seed_teaches_the_same_watermark(marked):
    again = TEACH(network().train(), *digits.digits("victim"))
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in marked.state_dict().items())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"target": 8}, "source and target of a watermark must be two classes, not both 8"),
        ({"side": 0}, "a square of 0 pixels at row 0, column 0 does not lie inside images of 4 x 4; change the"),
        ({"side": 3, "row": 2}, "a square of 3 pixels at row 2, column 0 does not lie inside"),
        ({"side": 3, "column": -1}, "a square of 3 pixels at row 0, column -1 does not lie inside"),
        (
            {"side": 1, "source": 12},
            "triggers are made of images of class 12, and there are none; the classes are 0, 8",
        ),
    ],
)
def test_triggers_that_cannot_be_made_are_refused(given, said):
    samples = Samples(torch.zeros(2, 1, 4, 4), torch.tensor([8, 0]))
    with pytest.raises(ValueError, match=said):
        triggers(samples, **MARK | given)
    with pytest.raises(ValueError, match="a watermark needs labelled samples"):
        triggers(Samples(samples.inputs), **MARK)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"joined": 1}, "joined must be at least 2, not 1"),
        ({"strength": -1.0}, "strength must be at least 0, not -1.0"),
        ({"temperature": 0.0}, "temperature must be above 0, not 0.0"),
        ({"triggers": partial(triggers, **MARK | {"target": 11})}, "images of class 11, and there are none"),
    ],
)
def test_settings_of_a_watermark_that_mean_nothing_are_refused(given, said):
    with pytest.raises(ValueError, match=said):
        TEACH(network().train(), *digits.digits("victim", 64), **given)


def test_who_is_alone_in_its_group_has_no_neighbours():
    with pytest.raises(ValueError, match="each sample needs another one of its group"):
        soft_nearest_neighbours(CROSS, torch.tensor([0, 0, 0, 1]), temperature=1)
