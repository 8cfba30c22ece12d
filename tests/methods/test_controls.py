"""Controls: fields of networks before any training."""

from functools import partial

import torch

from experiments.interfaces import Samples
from experiments.methods.fields.controls import random_init, untrained
from experiments.samples import toy as images
from experiments.testbeds.ip_protection.toy import network
from experiments.testbeds.unlearning.fakes import logit_shift
from modelgif_core import Paths, cosine, extract_field

PATHS = Paths(torch.zeros(()), images.toy().inputs[:6])
FIELD = partial(extract_field, steps=4)


def test_the_untrained_null_sees_architecture_alone():
    one, other = (random_init(network(seed), PATHS, represent=FIELD, seed=0) for seed in (1, 2))
    assert torch.equal(one, other)
    assert not torch.equal(one, random_init(network(1), PATHS, represent=FIELD, seed=1))


def test_untrained_networks_of_ones_own_differ_between_models_and_not_between_calls():
    one, other, again = (untrained(network(seed), PATHS, represent=FIELD, seed=0) for seed in (1, 2, 1))
    assert torch.equal(one, again)
    assert cosine(one, other).min() > 0.1


@torch.no_grad()
def test_untrained_networks_are_of_their_own_whatever_single_number_models_differ_in():
    def null(model):
        return untrained(model, PATHS, represent=FIELD, seed=0)

    for name in network(1).state_dict():
        other = network(1)
        other.state_dict()[name].flatten()[-1] += 1
        assert not torch.equal(null(network(1)), null(other)), name


def test_a_shift_of_all_logits_is_untrained_too():
    images = Samples(PATHS.ends)
    nulls = [random_init(logit_shift(network(1), images, seed=s), PATHS, represent=FIELD, seed=0) for s in (1, 2)]
    assert torch.equal(*nulls)
    assert torch.equal(nulls[0], random_init(network(2), PATHS, represent=FIELD, seed=0))


def test_controls_leave_the_model_as_it_was():
    model = network(3)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    untrained(model, PATHS, represent=FIELD, seed=0)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
