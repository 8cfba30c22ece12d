"""Adversarial trajectories: where they arrive, how they step, what is shown and what is refused."""

import pytest
import torch
from torch import nn

from experiments.interfaces import Offered, ZooModel
from experiments.methods.fingerprints.adv_tra import leg, other_classes, roughness_gradient, trajectory_samples, walk
from experiments.methods.outputs.pointwise import agreement, outputs
from experiments.networks.forward import predictions
from experiments.networks.perturbed import perturbed
from experiments.samples import toy as images

SETTINGS = {"seed": 0, "length": 8, "classes": 2, "step": 0.05, "fall": 0.002, "rate": 0.05, "rounds": 300}


def linear(seed=0):
    """A classifier with large logits, so that each of its classes is within reach."""
    generator, model = torch.Generator().manual_seed(seed), nn.Sequential(nn.Flatten(), nn.Linear(64, 10, bias=False))
    nn.init.normal_(model[1].weight, generator=generator)
    return model.eval()


def offered(budget=24, load=linear):
    return Offered(images.toy(), budget, source=ZooModel("victim", "victim", "toy", load))


def test_only_the_last_point_of_each_leg_arrives_and_the_next_leg_goes_elsewhere():
    found = trajectory_samples(offered(), **SETTINGS)
    assert found.inputs.shape == (24, 1, 8, 8)
    assert 0 <= found.inputs.min() < found.inputs.max() <= 1
    labels = predictions(linear(), found.inputs).argmax(1)
    assert torch.equal(labels, found.labels)
    legs = labels.view(3, 2, 4)
    assert (legs[..., :-1] != legs[..., -1:]).all()
    assert (legs[:, 0, -1] != legs[:, 1, -1]).all()


def test_steps_mirror_and_go_along_signs_of_gradients():
    model, begin = linear(), torch.full((1, 1, 8, 8), 0.5)
    points, there = walk(model, begin, torch.tensor([3]), torch.tensor([[0.1, 0.05]]))
    moved = torch.cat([begin[:, None], points], 1).diff(dim=1).abs().flatten(2)
    assert torch.allclose(moved[0], torch.tensor([0.1, 0.05, 0.05, 0.1])[:, None].expand(4, 64), atol=1e-6)
    assert there[0].tolist() == [bool(predictions(model, point[None]).argmax() == 3) for point in points[0]]
    far = walk(model, begin, torch.tensor([3]), torch.tensor([[5.0]]))[0]
    assert far.min() == 0
    assert far.max() == 1


def test_what_evens_out_steps_has_its_value_by_hand():
    assert roughness_gradient(torch.tensor([[1.0, 1.0]]))[0].tolist() == pytest.approx([-0.095, 0.1])
    assert roughness_gradient(torch.tensor([[1.0, 0.95]]))[0].tolist() == pytest.approx([0, 0], abs=1e-7)
    assert roughness_gradient(torch.tensor([[-1.0]])).tolist() == [[-1]]


def test_steps_too_short_are_made_longer_and_steps_too_long_shorter():
    model, begin, target = linear(), images.toy().inputs[:6], torch.full((6,), 4)
    begin = begin[predictions(model, begin).argmax(1) != 4]
    for size in (0.001, 0.5):
        first = torch.full((len(begin), 2), size)
        once, often = (
            predictions(model, leg(model, begin, target[: len(begin)], first, rate=0.05, rounds=rounds).flatten(0, 1))
            for rounds in (1, 300)
        )
        arrived = [(found.argmax(1) == 4).view(-1, 4).tolist() for found in (once, often)]
        assert arrived[0] != arrived[1]
        assert arrived[1] == [[False, False, False, True]] * len(begin)


def test_a_trajectory_does_not_depend_on_those_beside_it():
    model, begin, first = linear(), images.toy().inputs[:4], torch.full((4, 2), 0.05)
    target = (predictions(model, begin).argmax(1) + 1) % 10
    together = leg(model, begin, target, first, rate=0.05, rounds=50)
    alone = [leg(model, begin[[at]], target[[at]], first[[at]], rate=0.05, rounds=50) for at in range(4)]
    assert torch.allclose(together, torch.cat(alone), atol=1e-5)


def test_classes_to_go_through_are_different_and_never_an_image_s_own():
    own = torch.arange(5).repeat(20)
    drawn = other_classes(own, 4, 5, torch.Generator().manual_seed(0))
    assert (drawn.sort(1).values == torch.stack([torch.arange(5)[torch.arange(5) != one] for one in own])).all()
    assert len({tuple(row.tolist()) for row in drawn}) > 20


def test_copies_are_nearer_than_strangers():
    queries = trajectory_samples(offered(64), **SETTINGS)
    own = outputs(linear(), queries)
    near = [agreement(own, outputs(perturbed(0.02, seed, linear), queries)).mean() for seed in range(3)]
    far = [agreement(own, outputs(linear(seed), queries)).mean() for seed in (1, 2, 3)]
    assert agreement(own, outputs(linear(), queries)).mean() == 0
    assert max(near) < min(far)


@pytest.mark.parametrize(
    ("changes", "budget", "why"),
    [
        ({}, 20, "budget must be a multiple of 8, the length of a trajectory, not 20; set method.queries.length"),
        ({"length": 6}, 24, "length must be a multiple of 4, two points for each class, not 6"),
        ({"length": 40, "classes": 10}, 40, "10 other classes to go through are not in outputs"),
        ({"fall": 0.05}, 24, "fall must leave all 2 steps from 0.05 on above 0"),
        ({"fall": -0.05}, 24, "fall must leave all 2 steps from 0.05 on above 0"),
        *(({name: 0}, 24, f"{name} must be above 0, not 0") for name in SETTINGS if name not in ("seed", "fall")),
    ],
)
def test_settings_that_make_no_trajectory_are_refused(changes, budget, why):
    with pytest.raises(ValueError, match=why):
        trajectory_samples(offered(budget), **SETTINGS | changes)
