"""Folding BatchNorm changes no output and no field."""

import pytest
import timm
import torch
import torchvision
from torch import nn

from experiments.networks.resnet_cifar import resnet
from modelgif_core import Paths, extract_field
from modelgif_core.fold import folded

IMAGES = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def trained(model):
    """With statistics and scales unlike those of a new model."""
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            for tensor, low in ((module.weight, 0.5), (module.running_var, 0.5), (module.running_mean, -0.2)):
                tensor.data.copy_(low + torch.rand(tensor.shape, generator=generator))
    return model.eval()


NETWORKS = {
    "resnet20": lambda: resnet(20, classes=10, seed=0),
    "timm": lambda: timm.create_model("test_resnet", num_classes=10),
    "vgg": lambda: torchvision.models.vgg11_bn(num_classes=10),
    "mobilenet": lambda: torchvision.models.mobilenet_v2(num_classes=10),
    "perceptron": lambda: nn.Sequential(nn.Flatten(), nn.Linear(3072, 8), nn.BatchNorm1d(8), nn.Linear(8, 10)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_folded_network_has_the_same_field_without_batchnorm(name):
    model = trained(NETWORKS[name]())
    same = folded(model, IMAGES[:1])
    assert not any(isinstance(part, nn.BatchNorm2d | nn.BatchNorm1d) for part in same.modules())
    assert any(isinstance(part, nn.BatchNorm2d | nn.BatchNorm1d) for part in model.modules())
    torch.testing.assert_close(same(IMAGES), model(IMAGES), rtol=1e-4, atol=1e-4 * model(IMAGES).abs().max().item())
    paths = Paths(torch.zeros(()), IMAGES)
    one, other = (extract_field(each, paths, steps=4) for each in (model, same))
    assert (one - other).norm() < 1e-3 * one.norm()  # a ReLU may be on its other side after rounding


@pytest.mark.parametrize("name", NETWORKS)
def test_folding_leaves_the_model_alone_and_shares_what_is_not_folded(name):
    model = trained(NETWORKS[name]()).requires_grad_(True)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    places = {tensor.data_ptr() for tensor in model.parameters()}
    same = folded(model, IMAGES[:1])
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(tensor.requires_grad for tensor in model.parameters())
    assert not any(tensor.requires_grad for tensor in same.parameters())
    heads = [part for part in same.modules() if isinstance(part, nn.Linear)][-1]
    assert heads.weight.data_ptr() in places


@pytest.mark.parametrize(("name", "innermost"), [("vgg", False), ("resnet20", True), ("mobilenet", True)])
def test_colour_is_innermost_unless_convolutions_are_wide(name, innermost):
    first = next(
        part for part in folded(trained(NETWORKS[name]()), IMAGES[:1]).modules() if isinstance(part, nn.Conv2d)
    )
    assert first.weight.is_contiguous() is not innermost


class Forked(nn.Module):
    """The layer's output goes round its BatchNorm, too."""

    def __init__(self):
        super().__init__()
        self.layer, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, inputs):
        hidden = self.layer(inputs)
        return (self.norm(hidden) + hidden).mean((2, 3))


class Twice(nn.Module):
    """One layer before two BatchNorms."""

    def __init__(self):
        super().__init__()
        self.layer, self.first, self.second = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.BatchNorm2d(3)

    def forward(self, inputs):
        return self.second(self.layer(self.first(self.layer(inputs)))).mean((2, 3))


@pytest.mark.parametrize("model", [Forked(), Twice(), nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))])
def test_what_cannot_be_folded_stays_as_it_is(model):
    assert folded(trained(model), IMAGES[:1]) is model


def test_statistics_of_the_batch_are_not_folded():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.Flatten())
    assert folded(model, IMAGES) is model


def test_hooks_on_the_whole_model_do_not_notice():
    model = trained(NETWORKS["resnet20"]())
    calls = []
    model.register_forward_pre_hook(lambda module, inputs: calls.append(len(inputs[0])))
    same = folded(model, IMAGES[:1])
    assert calls == []
    same(IMAGES)
    assert calls == [4]
