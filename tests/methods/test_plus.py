"""ModelGiF+: several readings, each in units of models that are never scored, and the one that decides."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from experiments.interfaces import Offered, Samples, ZooModel
from experiments.methods.fields import plus
from experiments.queries.paths import paths
from experiments.queries.samples import random_samples
from experiments.queries.starts import black
from experiments.testbeds.ip_protection.toy import network
from modelgif_core import Paths, extract_field
from modelgif_core.readout import label_odds, predicted_class
from modelgif_core.view import flat

READINGS = {
    "field": partial(plus.field, steps=3, readout=predicted_class, view=flat),
    "potential": plus.potential,
    "slope": partial(plus.slope, readout=label_odds, view=flat),
}
CHOOSE = partial(paths, choose=partial(random_samples, seed=0), start=black)


def offered(use, *seeds):
    models = [ZooModel(f"{seed}", "any", "toy", partial(network, seed)) for seed in (0, *seeds)]
    samples = Samples(torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(1)))
    return Offered(samples, 6, models[0], {use: models[1:], "none": []})


def gauged(use="strangers", *seeds, **given):
    given = {"choose": CHOOSE, "readings": READINGS} | given
    return plus.gauged_paths(offered(use, *(seeds or (1, 2, 3, 4))), **given)


@pytest.mark.parametrize("by_point", [True, False])
def test_scores_of_strangers_have_mean_zero_and_deviation_one_in_every_reading(by_point):
    gauge = gauged(by_point=by_point)
    own, *others = (plus.see(network(seed), gauge) for seed in range(5))
    scores = torch.stack([gauge.scores(plus.apart(own, other)) for other in others])
    torch.testing.assert_close(scores.mean(0), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(scores.std(0), torch.ones(3), atol=1e-4, rtol=0)


def test_units_of_models_that_are_alike_are_of_their_distances_from_each_other():
    gauge = gauged("alike", 1, 2, 3)
    seen = [plus.see(network(seed), gauge) for seed in (1, 2, 3)]
    scores = torch.stack([gauge.scores(plus.apart(seen[a], seen[b])) for a, b in ((0, 1), (0, 2), (1, 2))])
    torch.testing.assert_close(scores.mean(0), torch.zeros(3), atol=1e-4, rtol=0)


def test_where_strangers_are_known_one_resemblance_counts_and_where_relatives_are_one_difference():
    for use, decides in (("strangers", plus.nearest), ("alike", plus.farthest)):
        gauge = gauged(use)
        own, other = plus.see(network(0), gauge), plus.see(network(9), gauge)
        mixed = plus.Seen((own.readings[0], *other.readings[1:]), gauge)
        zero = torch.zeros(3, 6)
        distances = plus.apart(own, mixed)
        assert distances[0].abs().max() < 1e-6 < distances[1:].max()
        wanted = decides(gauge.scores(distances)) - decides(gauge.scores(zero))
        assert float(plus.in_units(own, mixed)) == pytest.approx(float(wanted))
        assert gauge.combine is decides
    twin, near, far = (float(plus.in_units(own, one)) for one in (own, mixed, other))
    assert twin == 0 < near <= far


def test_a_twin_is_at_zero_and_no_model_is_below():
    for combine in (plus.nearest, plus.farthest, plus.together):
        gauge = gauged(combine=combine)
        own = plus.see(network(0), gauge)
        assert float(plus.in_units(own, plus.see(network(0), gauge))) == pytest.approx(0, abs=1e-5)
        assert all(float(plus.in_units(own, plus.see(network(seed), gauge))) >= 0 for seed in range(5, 9))


def test_a_slope_is_the_gradient_of_the_log_odds_at_the_end():
    model, ends = network(0), torch.rand(4, 1, 8, 8)
    labels = torch.tensor([0, 1, 2, 0])
    found = plus.slope(model, Paths(torch.zeros(()), ends, labels), readout=label_odds, view=flat)
    inputs = ends.clone().requires_grad_()
    p = model(inputs).softmax(1)[torch.arange(4), labels]
    (wanted,) = torch.autograd.grad((p.log() - (-p).log1p()).sum(), inputs)
    torch.testing.assert_close(found[:, 0], wanted.flatten(1), rtol=1e-3, atol=1e-5)


def test_paths_carry_the_sources_answers_not_the_samples_labels():
    gauge = gauged()
    assert gauge.paths.labels is not None
    assert torch.equal(gauge.paths.labels, network(0)(gauge.ends).argmax(1))


def test_a_reading_that_is_left_out_is_not_seen():
    gauge = gauged(readings=READINGS | {"slope": None, "potential": None})
    (only,) = plus.see(network(0), gauge).readings
    torch.testing.assert_close(
        only, extract_field(network(0), gauge.paths, steps=3, readout=predicted_class, view=flat)
    )
    with pytest.raises(ValueError, match="nothing is read: of field, potential, slope all are left out"):
        gauged(readings=dict.fromkeys(READINGS))


def test_too_few_models_or_two_questions_at_once_are_refused():
    with pytest.raises(ValueError, match="1 models for `strangers` give 1"):
        gauged("strangers", 1)
    with pytest.raises(ValueError, match="2 models for `alike` give 1"):
        gauged("alike", 1, 2)
    one, other = offered("strangers", 1, 2), offered("alike", 1, 2)
    both = replace(one, models={**one.models, **other.models})
    with pytest.raises(ValueError, match="not for \\['alike', 'strangers'\\]"):
        plus.gauged_paths(both, choose=CHOOSE, readings=READINGS)


def blind():
    """A model that does not depend on its input."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    nn.init.zeros_(model[1].weight)
    return model


def test_a_path_on_which_a_suspect_is_dead_does_not_bring_it_nearer():
    gauge = plus.Gauge(
        Paths(torch.zeros(2, 1), torch.ones(2, 1)),
        {"any": plus.potential},
        torch.tensor([[0.1, 0.9]]),
        torch.tensor([[0.1, 0.01]]),
        plus.nearest,
    )
    own = plus.Seen((torch.tensor([[[1.0, 0.0]], [[1.0, 0.0]]]),), gauge)
    suspect = plus.Seen((torch.tensor([[[0.0, 0.0]], [[0.0, 1.0]]]),), gauge)
    assert float(plus.in_units(own, own)) == 0
    assert float(plus.in_units(own, suspect)) == pytest.approx(1 / 0.01, rel=1e-4)


def test_models_without_a_field_give_no_units():
    handed, without = offered("strangers", 1, 2, 3), offered("strangers", 1, 2)
    models = [*without.models["strangers"], replace(without.source, load=blind)]
    with_blind = plus.gauged_paths(replace(handed, models={"strangers": models}), choose=CHOOSE, readings=READINGS)
    assert torch.equal(with_blind.mean, plus.gauged_paths(without, choose=CHOOSE, readings=READINGS).mean)
    with pytest.raises(ValueError, match="give 1, and 1 of models that do not depend on their input"):
        plus.gauged_paths(replace(handed, models={"strangers": models[1:]}), choose=CHOOSE, readings=READINGS)
