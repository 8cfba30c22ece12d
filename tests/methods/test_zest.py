"""Zest: signatures by LIME."""

import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from test_verifiers import standin
from torch import nn
from torch.nn.functional import interpolate

from experiments.interfaces import Samples
from experiments.methods.outputs import zest
from experiments.networks.perturbed import perturbed
from experiments.queries.starts import black
from experiments.testbeds.ip_protection.toy import network


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 20, 20), (3, 32, 32)])
def test_superpixels_cover_grey_and_colour_images_and_have_as_many_masks_as_asked(shape):
    coarse = torch.rand(4, shape[0], 4, 4, generator=torch.Generator().manual_seed(0))
    inputs = interpolate(coarse, size=shape[1:], mode="bilinear")
    testbed = replace(standin(), samples=Samples(inputs), budget=3)
    queries = zest.switched_samples(testbed, seed=0, masks=50, superpixels=12)
    assert queries.inputs.shape == (3, *shape)
    for superpixels, masks in zip(queries.superpixels, queries.masks, strict=True):
        assert superpixels.unique().tolist() == list(range(masks.shape[1]))
        assert masks.shape[0] == 50
        assert 4 <= masks.shape[1] <= 30
        assert 0.4 < masks.float().mean() < 0.6


@pytest.mark.parametrize("width", [None, 0.25])
def test_zest_recovers_a_model_that_is_linear_in_which_superpixels_are_shown(width):
    testbed = standin()
    linear = nn.Sequential(nn.Flatten(), nn.Linear(64, 3, bias=False)).eval()
    queries = zest.switched_samples(testbed, seed=0, masks=100, superpixels=8, fill=black)
    found = zest.signature(linear, queries, width=width, ridge=1e-9)
    for image, superpixels, weights in zip(queries.inputs, queries.superpixels, found, strict=True):
        parts = linear[1].weight.detach() * image.flatten()
        truth = torch.stack([parts[:, superpixels.flatten() == part].sum(1) for part in range(superpixels.max() + 1)])
        torch.testing.assert_close(weights[: len(truth)].float(), truth, atol=1e-5, rtol=1e-4)
        assert not weights[len(truth) :].any()


def test_a_mask_weighs_by_limes_kernel_of_the_root_of_the_share_that_is_on():
    masks = torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0]]).bool()
    assert zest._kernel(masks, 0.25).tolist() == pytest.approx([1, math.exp(-2)])


def test_zest_tells_relatives_from_strangers_and_refuses_what_it_cannot_compare():
    queries = zest.switched_samples(standin(), seed=0, masks=60)
    original, relative, stranger = (
        zest.signature(model, queries) for model in (network(0), perturbed(0.05, 1, partial(network, 0)), network(1))
    )
    near, far = zest.signature_cosine(original, relative), zest.signature_cosine(original, stranger)
    assert near.shape == (12,)
    assert near.max() < far.min()
    assert zest.signature_cosine(original, -original).tolist() == pytest.approx([2] * 12)
    assert zest.signature_cosine(original, torch.zeros_like(original)).isnan().all()
    with pytest.raises(ValueError, match="one shape"):
        zest.signature_cosine(original, original[..., :9])
    with pytest.raises(ValueError, match="come from classifiers"):
        zest.signature(network(0)[:2], queries)
    with pytest.raises(ValueError, match="at least as many masks, not 3; raise masks"):
        zest.switched_samples(standin(), seed=0, masks=3)
    for width in (0, -0.25):
        with pytest.raises(ValueError, match=f"width must be above 0, not {width}"):
            zest.signature(network(0), queries, width=width)
