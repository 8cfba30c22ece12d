"""Methods whose queries are made with the owner's copies and independent models: SAC-w, LiteGuard, CAE."""

from functools import partial

import pytest
import torch
from torch import nn

from experiments.interfaces import Offered, Samples, ZooModel
from experiments.methods.outputs.cae import conferrable_samples
from experiments.methods.outputs.lite_guard import Examined, learned_inputs, less_verified, verified
from experiments.methods.outputs.pointwise import agreement, outputs
from experiments.networks.perturbed import perturbed
from experiments.queries.mistakes import inherited_mistakes
from experiments.testbeds.ip_protection.toy import network

IMAGES = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(1))
LITE = partial(learned_inputs, seed=0, rate=0.02, steps=60)
CAE = partial(conferrable_samples, seed=0, candidates=24, radius=0.3, rate=0.02, steps=20, asked=2)


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
    ("choose", "represent", "distance"), [(LITE, verified, less_verified), (CAE, outputs, agreement)]
)
def test_unseen_copies_are_nearer_than_unseen_strangers(choose, represent, distance):
    queries = choose(offered())
    assert queries.inputs.shape == (8, 1, 8, 8)
    assert 0 <= queries.inputs.min() < queries.inputs.max() <= 1
    own = represent(network(0), queries)
    near = [float(distance(own, represent(copy_of_source(seed), queries)).mean()) for seed in (7, 8, 9)]
    far = [float(distance(own, represent(network(seed), queries)).mean()) for seed in (17, 18, 19)]
    assert max(near) < min(far)


@pytest.mark.parametrize("choose", [LITE, CAE, partial(inherited_mistakes, seed=0)])
@pytest.mark.parametrize("use", ["near", "far"])
def test_without_copies_or_independent_models_there_is_nothing_to_learn(choose, use):
    with pytest.raises(ValueError, match=f"asks models for `{use}`; the method's roles must name some"):
        choose(offered(**{use: []}))


@pytest.mark.parametrize(("name", "choose"), [("rate", LITE), ("steps", LITE), ("radius", CAE), ("asked", CAE)])
def test_a_setting_that_moves_nothing_is_refused(name, choose):
    with pytest.raises(ValueError, match=f"{name} must be above 0, not 0"):
        choose(offered(), **{name: 0})


def test_conferrable_examples_stay_in_the_ball_and_move():
    found = CAE(offered(budget=24)).inputs
    clean = IMAGES[torch.randperm(40, generator=torch.Generator().manual_seed(0))[:24]]
    nearest = torch.stack([(clean - one).abs().amax((1, 2, 3)).min() for one in found])
    assert nearest.max() <= 0.3 + 1e-6
    assert nearest.min() > 0.01


def test_a_verifier_says_the_sigmoid_of_its_weights_times_the_probabilities():
    queries = Examined(IMAGES[:2], torch.tensor([[1.0] * 10, [0.0] * 9 + [3.0]]), torch.tensor([-1.0, 0.5]))
    last = outputs(network(0), Samples(IMAGES[:2])).softmax(1)[1, 9]
    expected = torch.stack([torch.tensor(0.0), 3 * last + 0.5]).sigmoid()
    assert torch.allclose(verified(network(0), queries), expected, atol=1e-6)


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
