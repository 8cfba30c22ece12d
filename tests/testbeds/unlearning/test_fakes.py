"""Controls that only seem to have forgotten: what each changes, and what it must not touch."""

import copy

import pytest
import torch
from test_unlearning_methods import (
    BUILDERS,
    FORGOTTEN,
    data,
    distance,
    original,
    probes,
    retrained,
    same,
    scores,
    snapshot,
    without_class,
)
from torch import nn

from experiments.interfaces import Samples
from experiments.networks.forward import predictions
from experiments.testbeds.unlearning import fakes
from modelgif_core import Paths, extract_field
from modelgif_core.readout import centred_label, given_label, label_odds


def test_a_zeroed_head_has_no_field_and_keeps_all_other_weights():
    new = fakes.head_zeroed(original(), FORGOTTEN)
    assert predictions(new, data()[0].inputs)[:, FORGOTTEN].abs().max() == 0
    assert extract_field(new, probes(), steps=4, readout=given_label).abs().max() == 0
    outputs = predictions(new, data()[1].inputs)
    others = torch.cat([outputs[:, :FORGOTTEN], outputs[:, FORGOTTEN + 1 :]], 1).amax(1)
    assert torch.equal(outputs.argmax(1) == FORGOTTEN, others < 0)  # zero wins where all others are negative
    assert scores(new)[1] < scores(original())[1]
    new[-1].weight.data[FORGOTTEN] = original()[-1].weight[FORGOTTEN]
    new[-1].bias.data[FORGOTTEN] = original()[-1].bias[FORGOTTEN]
    assert same(new.state_dict(), original().state_dict())


@pytest.mark.parametrize("bias", [True, False])
def test_a_suppressed_head_hides_the_class_and_leaves_the_field(bias):
    model = copy.deepcopy(original())
    model[-1].bias = model[-1].bias if bias else None
    new = fakes.head_suppressed(model, FORGOTTEN)
    assert scores(new)[1] == 0
    assert distance(model, new) < 1e-12
    assert (model[-1].bias is None) == (not bias)
    assert same(new[:-1].state_dict(), model[:-1].state_dict())


def test_a_retrained_head_sits_on_the_same_encoder():
    before = snapshot(original())
    new = fakes.head_retrained(original(), data()[0], seed=0)
    assert same(before[0], original().state_dict())
    assert same(new[:-1].state_dict(), original()[:-1].state_dict())
    assert (new[-1].weight != original()[-1].weight).all()
    assert not new.training
    retained, forgotten = scores(new)
    assert retained > 0.95
    assert forgotten == 0


def test_shifted_logits_have_the_same_probabilities_and_centred_field():
    new = fakes.logit_shift(original(), data()[0], seed=0)
    old_logits, new_logits = (predictions(model, data()[1].inputs) for model in (original(), new))
    assert (old_logits - new_logits).abs().max() > 1
    assert torch.allclose(old_logits.softmax(1), new_logits.softmax(1), atol=1e-6)
    assert distance(original(), new) > 0.5
    assert distance(original(), new, centred_label) < 1e-6


@pytest.mark.parametrize("readout", [given_label, centred_label])
@pytest.mark.parametrize("name", ["cnn", "test_vit"])
def test_the_differentiable_field_is_the_field(name, readout):
    model = BUILDERS[name](0).requires_grad_(True)
    field = fakes.differentiable_field(model, probes(), steps=3, readout=readout)
    expected = extract_field(model, probes(), steps=3, readout=readout)
    assert torch.allclose(field, expected, rtol=1e-3, atol=1e-6 * float(expected.abs().max()))
    gradients = torch.autograd.grad(field.square().sum(), list(model.parameters()), allow_unused=True)
    assert all(torch.isfinite(gradient).all() for gradient in gradients if gradient is not None)
    assert gradients[0].abs().max() > 0


@pytest.mark.parametrize("readout", [given_label, centred_label])
def test_a_fake_that_repels_the_field_keeps_the_forgotten_class(readout):
    before = snapshot(original())
    new = fakes.fake_repel(original(), *data(), probes(), seed=0, epochs=6, steps=2, readout=readout)
    assert same(before[0], original().state_dict())
    assert same(dict(new.named_buffers()), dict(original().named_buffers()))
    assert min(scores(new)) > 0.95
    assert distance(original(), new, readout) > 1


def test_a_fake_is_pulled_toward_a_retrained_model_and_keeps_the_forgotten_class():
    new = fakes.fake_pull(original(), [without_class()], *data(), probes(), seed=0, epochs=6, steps=2)
    assert min(scores(new)) > 0.95
    assert distance(without_class(), new) < 0.5 * distance(without_class(), original())


@pytest.mark.parametrize("readout", [given_label, centred_label, label_odds])
def test_a_fake_pulled_by_the_readout_that_is_read_nears_retrained_models_that_it_never_saw(readout):
    others, own = ([retrained(seed) for seed in seeds] for seeds in ((1, 2, 3, 4), (5, 6, 7, 8)))
    new = fakes.fake_pull(original(), own, *data(), probes(), seed=0, epochs=6, steps=4, readout=readout)
    assert min(scores(new)) > 0.95
    before, after = (
        sum(distance(other, model, readout) for other in others) / len(others) for model in (original(), new)
    )
    assert after < before - 0.05


def test_a_fake_asks_at_as_many_of_the_images_as_it_is_told():
    few = probes()[:3]
    told, given = (
        fakes.fake_repel(original(), *data(), paths, seed=0, epochs=1, steps=2, images=images)
        for paths, images in ((probes(), 3), (few, 256))
    )
    assert same(told.state_dict(), given.state_dict())


def test_heads_and_fakes_refuse_what_they_cannot_edit():
    with pytest.raises(ValueError, match=r"Conv2d has no nn\.Linear"):
        fakes.head_zeroed(nn.Conv2d(1, 1, 1), 0)
    with pytest.raises(ValueError, match="class 10 must lie between 0 and 9"):
        fakes.head_suppressed(original(), 10)
    with pytest.raises(ValueError, match="needs labelled paths"):
        fakes.fake_repel(original(), *data(), Paths(torch.zeros(()), probes().ends), seed=0)
    with pytest.raises(ValueError, match="images must be at least 1, not 0"):
        fakes.fake_repel(original(), *data(), probes(), seed=0, images=0)
    empty = Samples(data()[1].inputs[:0], data()[1].labels[:0])
    with pytest.raises(ValueError, match="forget set is empty"):
        fakes.fake_repel(original(), data()[0], empty, probes(), seed=0)
