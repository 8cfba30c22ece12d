"""Methods whose queries are made with the owner's copies and independent models."""

import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from experiments.interfaces import Offered, Samples, ZooModel
from experiments.methods.fingerprints.ana_fp import placed, stretched_samples, to_boundary
from experiments.methods.fingerprints.cae import conferrable_samples
from experiments.methods.fingerprints.lite_guard import Examined, learned_inputs, less_verified, verified
from experiments.methods.fingerprints.meta_finger import disturbances, divergence, meta_samples
from experiments.methods.outputs.pointwise import agreement, outputs
from experiments.networks.perturbed import perturbed
from experiments.queries.mistakes import inherited_mistakes
from experiments.testbeds.ip_protection.toy import network

IMAGES = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(1))
LITE = partial(learned_inputs, seed=0, rate=0.02, steps=60)
CAE = partial(conferrable_samples, seed=0, candidates=24, radius=0.3, rate=0.02, steps=20, asked=2)
META = partial(meta_samples, seed=0, candidates=24, rate=0.02, rounds=6, asked=2)
ANA = partial(stretched_samples, candidates=24, rate=0.02, steps=60, weight=5.0, quantile=0.75, longest=4.0, grid=12)


def copy_of_source(seed):
    return perturbed(0.02, seed, partial(network, 0))


def model(make, *given):
    return ZooModel("any", "any", "toy", partial(make, *given))


def offered(budget=8, **changes):
    models = {
        "near": [model(copy_of_source, seed) for seed in range(3)],
        "far": [model(network, seed) for seed in range(1, 5)],
    }
    labels = torch.arange(40) % 10
    return Offered(Samples(IMAGES, labels), budget, model(network, 0), models | changes)


@pytest.mark.parametrize(
    ("choose", "represent", "distance"),
    [
        (LITE, verified, less_verified),
        (CAE, outputs, agreement),
        (META, outputs, agreement),
        (ANA, outputs, agreement),
    ],
)
def test_unseen_copies_are_nearer_than_unseen_strangers(choose, represent, distance):
    queries = choose(offered())
    assert queries.inputs.shape == (8, 1, 8, 8)
    assert 0 <= queries.inputs.min() < queries.inputs.max() <= 1
    own = represent(network(0), queries)
    near = [float(distance(own, represent(copy_of_source(seed), queries)).mean()) for seed in (7, 8, 9)]
    far = [float(distance(own, represent(network(seed), queries)).mean()) for seed in (17, 18, 19)]
    assert max(near) < min(far)


@pytest.mark.parametrize("choose", [LITE, CAE, META, ANA, partial(inherited_mistakes, seed=0)])
@pytest.mark.parametrize("use", ["near", "far"])
def test_without_copies_or_independent_models_there_is_nothing_to_learn(choose, use):
    with pytest.raises(ValueError, match=f"asks models for `{use}`; the method's roles must name some"):
        choose(offered(**{use: []}))


@pytest.mark.parametrize(
    ("name", "choose"),
    [
        ("rate", LITE),
        ("steps", LITE),
        ("radius", CAE),
        ("asked", CAE),
        ("rate", META),
        ("asked", META),
        ("weight", META),
        ("rate", ANA),
        ("steps", ANA),
    ],
)
def test_a_setting_that_moves_nothing_is_refused(name, choose):
    with pytest.raises(ValueError, match=f"{name} must be above 0, not 0"):
        choose(offered(), **{name: 0})


def test_conferrable_examples_stay_in_the_ball_and_move():
    found = CAE(offered(budget=24)).inputs
    clean = IMAGES[torch.randperm(40, generator=torch.Generator().manual_seed(0))[:24]]
    nearest = torch.stack([(clean - one).abs().amax((1, 2, 3)).min() for one in found])
    assert nearest.max() <= 0.3 + 1e-6
    assert nearest.min() > 0.01


def test_copies_alone_follow_conferrable_examples_more_than_clean_images_and_the_best_of_them_come_first():
    def conferred(images):
        own = outputs(network(0), Samples(images)).argmax(1, keepdim=True)
        sides = ([copy_of_source(seed) for seed in range(3)], [network(seed) for seed in range(1, 5)])
        near, far = (
            torch.stack([outputs(one, Samples(images)).softmax(1) for one in models]).mean(0) for models in sides
        )
        return float((near * (1 - far)).gather(1, own).mean())

    found = CAE(offered(budget=24)).inputs
    assert conferred(found[:8]) > conferred(found) > conferred(IMAGES) + 0.003


def test_a_verifier_says_the_sigmoid_of_its_weights_times_the_probabilities():
    queries = Examined(IMAGES[:2], torch.tensor([[1.0] * 10, [0.0] * 9 + [3.0]]), torch.tensor([-1.0, 0.5]))
    last = outputs(network(0), Samples(IMAGES[:2])).softmax(1)[1, 9]
    expected = torch.stack([torch.tensor(0.0), 3 * last + 0.5]).sigmoid()
    assert torch.allclose(verified(network(0), queries), expected, atol=1e-6)


def test_learning_lowers_what_it_is_meant_to_on_models_that_it_has_not_seen():
    def loss(images):
        own = outputs(network(0), Samples(images))
        near, far = (
            torch.stack([divergence(own, outputs(model, Samples(images))) for model in models]).mean()
            for models in ([copy_of_source(seed) for seed in range(30, 34)], [network(seed) for seed in range(40, 44)])
        )
        return float(near - far)

    began = IMAGES[torch.randperm(40, generator=torch.Generator().manual_seed(0))[:24]]
    assert loss(META(offered(budget=24)).inputs) < loss(began)


def test_disturbances_change_images_without_changing_their_size_and_let_gradients_through():
    images = torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(0)).requires_grad_()
    torch.manual_seed(0)
    shown = [disturb(images) for disturb in disturbances(32)]
    assert all(one.shape == images.shape for one in shown)
    assert [torch.equal(one, images) for one in shown] == [True] + [False] * (len(shown) - 1)
    for one in shown:
        assert torch.autograd.grad(one.sum(), images)[0].any()


def test_divergence_is_the_others_expectation_of_the_log_ratio():
    anchor, other = torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 1.0]]).log()
    assert float(divergence(anchor, other)) == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5))


def test_the_way_to_the_boundary_of_a_linear_model_is_its_normal():
    linear = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False))
    linear[1].weight.data = torch.tensor([[3.0, 4.0], [0.0, 0.0]])  # the boundary: 3 x + 4 y = 0
    images = torch.tensor([0.5, 0.5]).view(1, 1, 1, 2)  # clamping keeps points in [0, 1], so the boundary moves there
    linear[1].bias = nn.Parameter(torch.tensor([-2.5, 0.0]))  # 3 x + 4 y = 2.5, at distance 0.2 from the image
    way = to_boundary(linear, images, rate=0.01, steps=400, weight=1.0).flatten()
    assert float(way.norm()) == pytest.approx(0.2, abs=2e-3)
    assert way.tolist() == pytest.approx([-0.12, -0.16], abs=5e-3)


def leading(*weights, bias):
    """A linear classifier of two pixels: the first class while this is below 0, the second beyond."""
    made = nn.Sequential(nn.Flatten(), nn.Linear(2, 2))
    made[1].weight.data, made[1].bias.data = torch.tensor([[0, 0], weights]).float(), torch.tensor([0, bias])
    return made


def test_points_with_the_widest_room_between_the_boundaries_of_copies_and_strangers_are_shown_widest_first():
    second = torch.tensor([0.6, 0.0, 0.4, 1.0, 0.2, 0.8])  # the larger it is, the later strangers arrive
    images = torch.stack([torch.full((6,), 0.3), second], dim=1).view(6, 1, 1, 2)
    models = {
        "near": [model(partial(leading, 1, 0, bias=-0.51))],
        "far": [model(partial(leading, 1, -0.3, bias=-0.535))],
    }
    place = Offered(Samples(images), 3, model(partial(leading, 1, 0, bias=-0.5)), models)
    first, kept = ANA(place, candidates=6).inputs.flatten(1).T
    assert kept.tolist() == pytest.approx([1.0, 0.8, 0.6])
    for position, strangers in zip(first, 0.535 + 0.3 * kept, strict=True):
        assert 0.51 < position < strangers


def test_a_point_lies_between_the_arrival_of_copies_and_that_of_strangers():
    lengths = torch.arange(6)
    near, far = (torch.stack([lengths >= at for at in first])[:, :, None] for first in ([0, 1, 1, 5], [3, 4, 5, 5]))
    at, slack = placed(near, far, quantile=0.75)
    assert (int(at), float(slack)) == (2, 2.0)  # from 1, where three of four have come, to 3, where one has
    at, slack = placed(near, far, quantile=1.0)
    assert (int(at), float(slack)) == (5, -3.0)  # the last copy comes after the first stranger


@pytest.mark.parametrize(
    ("choose", "changes", "reason"),
    [
        (ANA, {"quantile": 0.3}, "quantile must lie between 0.5 and 1, not 0.3"),
        (ANA, {"longest": 1}, "a length above 1 and at least two to try, not 1 and 12"),
        (ANA, {"candidates": 41}, "need budget <= candidates <= pool, not 8 <= 41 <= 40"),
        (META, {"candidates": 7}, "need budget <= candidates <= pool, not 8 <= 7 <= 40"),
    ],
)
def test_what_leaves_nothing_to_choose_is_refused(choose, changes, reason):
    with pytest.raises(ValueError, match=reason):
        choose(offered(), **changes)


class Answers(nn.Module):
    """Answers the same labels in the order of the pool, whatever it is shown."""

    def __init__(self, labels):
        super().__init__()
        self.labels = labels

    def forward(self, inputs):
        return torch.eye(3)[self.labels[: len(inputs)]]


def test_mistakes_that_copies_share_and_independent_models_do_not_come_first():
    truth = torch.tensor([0, 0, 0, 0, 0])
    answers = {  # of five samples: right; a mistake of the source's own, of all, of nobody else, of its copies
        "source": torch.tensor([0, 1, 1, 1, 1]),
        "near": torch.tensor([0, 1, 1, 0, 1]),
        "far": torch.tensor([0, 1, 1, 0, 0]),
    }
    models = {use: [model(Answers, labels)] for use, labels in answers.items()}
    pool = Samples(torch.arange(5.0).view(5, 1, 1, 1), truth)
    place = Offered(pool, 5, models["source"][0], {use: models[use] for use in ("near", "far")})
    order = inherited_mistakes(place, seed=0).inputs.flatten().tolist()
    assert order[0] == 4
    assert order[-1] == 0
    with pytest.raises(ValueError, match="needs labelled samples"):
        inherited_mistakes(place.__class__(Samples(pool.inputs), 2, models["source"][0], place.models), seed=0)


@pytest.mark.parametrize("choose", [LITE, CAE, META, ANA])
def test_a_first_layer_that_works_in_place_changes_nothing(choose):
    class Same(nn.Module):
        def forward(self, inputs):
            return inputs.mul_(1)

    def in_place(make, *given):
        return nn.Sequential(Same(), make(*given))

    plain, changed = offered(), offered()
    handed = {
        use: [replace(one, load=partial(in_place, one.load)) for one in models]
        for use, models in changed.models.items()
    }
    assert changed.source is not None
    own = replace(changed.source, load=partial(in_place, changed.source.load))
    one, other = (choose(place) for place in (plain, replace(changed, source=own, models=handed)))
    torch.testing.assert_close(one.inputs, other.inputs)


def test_a_mistake_comes_before_a_sample_that_is_right_whatever_the_others_answer():
    class Says(nn.Module):
        def __init__(self, *labels):
            super().__init__()
            self.labels = torch.tensor(labels)

        def forward(self, inputs):
            return nn.functional.one_hot(self.labels[inputs.flatten().long()], 3).float()

    pool = Samples(torch.arange(2.0).view(2, 1, 1, 1), torch.tensor([0, 0]))
    zoo = {
        "near": [model(Says, 2, 0)],  # the copy answers the mistake otherwise, and the right one alike
        "far": [model(Says, 1, 2)],  # the stranger the mistake alike, and the right one otherwise
    }
    place = Offered(pool, 1, model(Says, 1, 0), zoo)
    assert [float(inherited_mistakes(place, seed=seed).inputs) for seed in range(6)] == [0.0] * 6
