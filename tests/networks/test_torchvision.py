"""torchvision's networks with their normalisation inside."""

from functools import partial

import pytest
import torch

from experiments.networks.torchvision import build

COLOURS = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 0.3]}
RESNET = partial(build, name="resnet18", classes=7, **COLOURS)


def test_a_network_standardises_what_it_is_shown_and_depends_on_its_seed_alone():
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(5)
    model, before = RESNET(seed=0), torch.get_rng_state()
    standardised = (images - torch.tensor(COLOURS["mean"])[:, None, None]) / torch.tensor(COLOURS["std"])[:, None, None]
    assert torch.allclose(model(images), model[1](standardised), atol=1e-5)
    assert model(images).shape == (2, 7)
    again = RESNET(seed=0)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(model(images), again(images))
    assert not torch.equal(model(images), RESNET(seed=1)(images))


def test_a_rehearsed_vgg_has_a_narrow_head_and_finite_weights():
    model = build(name="vgg16_bn", classes=10, **COLOURS, seed=0, dry_run=True)
    assert sum(weights.numel() for weights in model.parameters()) < 16_000_000
    assert model(torch.rand(2, 3, 32, 32)).isfinite().all()


def test_an_unknown_network_is_refused_with_those_that_there_are():
    with pytest.raises(ValueError, match=r"there is no network 'vgg16bn' here; there are vgg13, .*vgg16_bn"):
        build(name="vgg16bn", classes=10, **COLOURS, seed=0)
