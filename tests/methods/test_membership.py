"""Membership inference: attacks on pools, and the likelihood ratio of single images."""

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from test_verifiers import Given, listed, standin

from experiments.interfaces import Offered, ZooModel
from experiments.methods.knowledge import lira, membership
from experiments.offers import offered


def sure(count, margin):
    """Logits of two classes: the first leads by this margin."""
    return torch.tensor([[float(margin), 0.0]]).repeat(count, 1)


@pytest.mark.parametrize(("margin", "share"), [(8, 1), (0, 0)])
def test_the_entropy_attack_calls_member_what_is_as_sure_as_members_however_many_they_are(margin, share):
    model, pools = listed([sure(10, margin), sure(10, 0), sure(300, 8), sure(10, 0)])
    assert membership.entropy_attack(model, pools) == share


def test_the_loss_attack_sees_remembered_images_and_nothing_in_exchangeable_ones():
    attack = partial(membership.loss_attack, seed=0)
    remembered = listed([sure(40, 8), sure(15, -8), sure(1, 0), sure(1, 0)])
    alike = listed([sure(40, 3), sure(15, 3), sure(1, 0), sure(1, 0)])
    generator = torch.Generator().manual_seed(0)
    noise = [torch.randn(size, 2, generator=generator) for size in (200, 200, 1, 1)]
    extreme = listed([sure(40, 8), sure(15, -1e30), sure(1, 0), sure(1, 0)])
    assert attack(*remembered) == 1
    assert attack(*alike) == 0.5
    assert attack(*listed(noise)) == pytest.approx(0.5, abs=0.08)
    assert attack(*extreme) == 1  # clipped
    with pytest.raises(ValueError, match="4 forgotten and 15 unseen images"):
        attack(*listed([sure(4, 3), sure(15, 3), sure(1, 0), sure(1, 0)]))


def test_confidence_is_the_log_odds_and_stays_finite():
    probabilities = torch.tensor([[0.5, 0.3, 0.2], [0.9, 0.05, 0.05]], dtype=torch.float64)
    model, pools = listed([probabilities.log()] * 4)
    found = lira.confidence(model, pools, pool="retain")
    torch.testing.assert_close(found, torch.tensor([0.0, math.log(9)], dtype=torch.float64))
    model, pools = listed([sure(1, 1000.0), sure(1, -1000.0), sure(1, 0), sure(1, 0)])
    assert lira.confidence(model, pools, pool="forget") == 1000
    assert lira.confidence(model, pools, pool="forget_unseen") == -1000


@pytest.mark.parametrize("pool", ["retain", "forget_unseen", "retain_unseen", "test"])
def test_images_that_all_shadows_have_seen_or_none_are_refused(pool, method):
    asked = offered(method("lira"), standin())
    with pytest.raises(ValueError, match=f"pool must be forget, not {pool!r}, whose images both kinds of shadows have"):
        lira.with_shadows(asked, pool=pool, fit=lira.medians)


@pytest.mark.parametrize("fit", [lira.medians, lira.pooled_variance, lira.own_variance])
def test_the_likelihood_ratio_is_positive_where_confidence_is_like_that_of_shadows_that_saw_the_image(fit):
    def shadow(shift):  # the first image is remembered by those who saw it, the second never
        logits = torch.tensor([[4.0, 0], [0.0, 0]]) + torch.tensor([[shift, 0]])
        return logits if shift >= 0 else torch.tensor([[1 + shift, 0], [-1 + shift, 0]])

    _, pools = listed([torch.zeros(2, 2)] * 4)
    models = {f"in-{n}": shadow(n / 4) for n in range(4)} | {f"out-{n}": shadow(-1 - n / 4) for n in range(4)}
    zoo = [ZooModel(name, name.split("-")[0], "toy", partial(Given, table)) for name, table in models.items()]
    kinds = {kind: [model for model in zoo if kind.startswith(model.role)] for kind in ("inside", "outside")}
    shadows = lira.with_shadows(Offered(pools.forget, 2, models=kinds, pools=pools), pool="forget", fit=fit)
    ratio = lira.likelihood_ratio(Given(torch.tensor([[4.4, 0], [-2.4, 0]])), shadows)
    assert ratio[0] > 0 > ratio[1]
    middle = (shadows.inside.mean + shadows.outside.mean) / 2
    undecided = Given(torch.stack([middle, torch.zeros(2)], 1))
    assert lira.likelihood_ratio(undecided, shadows).abs().max() < 1e-5  # where the Gaussians cross


def test_a_fit_is_of_medians_and_all_deviation_as_published_or_of_means_and_the_variance_over_models():
    generator = np.random.default_rng(0)
    inside, outside = generator.normal([1, 5, 9], [1, 2, 3], (4, 3)), generator.normal(-2, 1, (5, 3))
    one, other = lira.medians(torch.from_numpy(inside), torch.from_numpy(outside))
    assert one.mean.tolist() == pytest.approx(np.median(inside, 0).tolist())
    assert other.mean.tolist() == pytest.approx(np.median(outside, 0).tolist())
    assert one.stddev.tolist() == other.stddev.tolist() == pytest.approx([np.std(inside)] * 3)
    for fit, shared in ((lira.pooled_variance, True), (lira.own_variance, False)):
        for found, given in zip(
            fit(torch.from_numpy(inside), torch.from_numpy(outside)), (inside, outside), strict=True
        ):
            variance = given.var(0, ddof=1)
            assert found.mean.tolist() == pytest.approx(given.mean(0).tolist())
            assert found.variance.tolist() == pytest.approx([variance.mean()] * 3 if shared else variance.tolist())


@pytest.mark.parametrize("fit", [lira.medians, lira.pooled_variance, lira.own_variance])
def test_shadows_that_agree_to_the_last_digit_still_have_a_spread(fit):
    same = torch.zeros(2, 3, dtype=torch.float64)
    one, other = fit(same, same)
    found = torch.ones(3, dtype=torch.float64)
    assert (one.log_prob(found) - other.log_prob(found)).tolist() == [0, 0, 0]


def test_shadows_that_are_scored_or_too_few_are_refused(method):
    scored = replace(method("lira"), roles={"inside": ["unlearned"], "outside": ["retrain_calibrate"]})
    with pytest.raises(ValueError, match=r"roles \['unlearned'\] \(inside\) are scored by this testbed"):
        offered(scored, standin())
    few = replace(scored, roles={"inside": ["unrelated_calibrate"], "outside": ["original"]})
    with pytest.raises(ValueError, match="needs two shadow models, not 1: name more roles for 'outside'"):
        few.queries(offered(few, standin()))
