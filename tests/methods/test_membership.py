"""Membership inference: attacks on pools, and the likelihood ratio of single images."""

import math
from dataclasses import replace
from functools import partial

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


@pytest.mark.parametrize("shared", [True, False])
def test_the_likelihood_ratio_is_positive_where_confidence_is_like_that_of_shadows_that_saw_the_image(shared):
    def shadow(shift):  # the first image is remembered by those who saw it, the second never
        logits = torch.tensor([[4.0, 0], [0.0, 0]]) + torch.tensor([[shift, 0]])
        return logits if shift >= 0 else torch.tensor([[1 + shift, 0], [-1 + shift, 0]])

    _, pools = listed([torch.zeros(2, 2)] * 4)
    models = {f"in-{n}": shadow(n / 4) for n in range(4)} | {f"out-{n}": shadow(-1 - n / 4) for n in range(4)}
    zoo = [ZooModel(name, name.split("-")[0], "toy", partial(Given, table)) for name, table in models.items()]
    kinds = {kind: [model for model in zoo if kind.startswith(model.role)] for kind in ("inside", "outside")}
    shadows = lira.with_shadows(Offered(pools.forget, 2, models=kinds, pools=pools), pool="forget", shared=shared)
    ratio = lira.likelihood_ratio(Given(torch.tensor([[4.4, 0], [-2.4, 0]])), shadows)
    assert ratio[0] > 0 > ratio[1]
    variance = torch.tensor([n / 4 for n in range(4)]).var().item()
    torch.testing.assert_close(shadows.inside.variance, torch.full((2,), variance, dtype=torch.float64))
    middle = (shadows.inside.mean + shadows.outside.mean) / 2
    undecided = Given(torch.stack([middle, torch.zeros(2)], 1))
    assert lira.likelihood_ratio(undecided, shadows).abs().max() < 1e-5  # where the Gaussians cross


def test_shadows_share_the_mean_variance_or_have_their_own():
    _, pools = listed([torch.zeros(2, 2)] * 4)
    tables = [torch.tensor([[x, 0.0], [3 * x, 0]]) for x in (-1.0, 1.0)]

    def fitted(*tables, shared):
        zoo = [ZooModel(f"{n}", "shadow", "toy", partial(Given, table)) for n, table in enumerate(tables)]
        handed = Offered(pools.forget, 2, models={"inside": zoo, "outside": zoo}, pools=pools)
        return lira.with_shadows(handed, pool="forget", shared=shared)

    assert fitted(*tables, shared=False).inside.variance.tolist() == pytest.approx([2, 18])
    assert fitted(*tables, shared=True).inside.variance.tolist() == pytest.approx([10, 10])
    shadows = fitted(tables[0], tables[0], shared=True)
    assert lira.likelihood_ratio(Given(tables[1]), shadows).tolist() == [0, 0]


def test_shadows_that_are_scored_or_too_few_are_refused(method):
    scored = replace(method("lira"), roles={"inside": ["unlearned"], "outside": ["retrain_calibrate"]})
    with pytest.raises(ValueError, match=r"roles \['unlearned'\] \(inside\) are scored by this testbed"):
        offered(scored, standin())
    few = replace(scored, roles={"inside": ["unrelated_calibrate"], "outside": ["original"]})
    with pytest.raises(ValueError, match="needs two shadow models, not 1: name more roles for 'outside'"):
        few.queries(offered(few, standin()))
