"""What preparing does to one network of every family: how many BatchNorms are folded, and which order images lie in."""

from functools import partial

import pytest
import timm
import torch
import torchvision
from torch import nn

from experiments.networks.resnet_cifar import resnet
from modelgif_core import prepared
from modelgif_core.order import memory_order

INNER, OUTER = torch.channels_last, torch.contiguous_format
FAMILIES = {  # of timm: BatchNorms, of which folded, order at 64 pixels; the rest stand before their convolution
    "convnext_atto": (0, 0, INNER),
    "cspresnet50": (55, 55, INNER),
    "densenet121": (121, 59, INNER),
    "dla34": (37, 37, INNER),
    "edgenext_xx_small": (0, 0, INNER),
    "efficientnet_b0": (49, 49, INNER),
    "efficientvit_b0": (26, 26, INNER),
    "ese_vovnet19b_dw": (23, 23, INNER),
    "ghostnet_050": (80, 80, INNER),
    "hrnet_w18_small": (91, 91, INNER),
    "lcnet_035": (27, 27, INNER),
    "mambaout_femto": (0, 0, INNER),
    "mnasnet_small": (46, 46, INNER),
    "mobilenetv2_035": (52, 52, INNER),
    "mobilenetv3_small_050": (34, 34, INNER),
    "mobilenetv4_conv_small": (46, 46, INNER),
    "mobilevit_xxs": (32, 32, INNER),
    "poolformer_s12": (0, 0, INNER),
    "regnetx_002": (44, 44, INNER),
    "regnety_002": (44, 44, INNER),
    "repghostnet_050": (112, 80, INNER),  # the rest are branches by themselves
    "repvgg_a0": (61, 44, INNER),  # so are these
    "res2net50_14w_8s": (149, 149, INNER),
    "resnet18": (20, 20, INNER),
    "resnetv2_18": (17, 8, INNER),
    "rexnet_100": (62, 62, INNER),
    "selecsls42": (41, 41, INNER),
    "seresnet18": (20, 20, INNER),
    "skresnet18": (36, 36, INNER),
    "starnet_s1": (36, 35, INNER),
    "test_byobnet": (14, 14, INNER),
    "test_convnext": (0, 0, INNER),
    "test_efficientnet": (13, 13, INNER),
    "test_mambaout": (0, 0, INNER),
    "test_nfnet": (0, 0, INNER),
    "test_resnet": (15, 15, INNER),
    "xception41": (84, 84, INNER),
}


def norms(model):
    return sum(isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d) for part in model.modules())


def example(pixels):
    return torch.rand(1, 3, pixels, pixels, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_folded_and_which_order_is_used(name):
    model = timm.create_model(name, num_classes=10).eval()
    ready = prepared(model, example(64))
    assert (norms(model), norms(model) - norms(ready), memory_order(ready, example(64))) == FAMILIES[name]


SIZES = {
    "ResNet-18": (partial(timm.create_model, "resnet18"), {32: OUTER, 64: INNER}),
    "ResNet-50": (partial(timm.create_model, "resnet50"), {32: OUTER, 64: INNER}),
    "VGG-11-BN": (torchvision.models.vgg11_bn, {32: INNER, 64: INNER}),
    "ResNet-20": (partial(resnet, 20, classes=10, seed=0), {32: INNER}),
}


@pytest.mark.parametrize("name", SIZES)
def test_colour_is_innermost_unless_most_work_is_in_deep_convolutions_of_few_pixels(name):
    make, expected = SIZES[name]
    model = make().eval()
    for pixels, order in expected.items():
        weights = [part.weight for part in prepared(model, example(pixels)).modules() if isinstance(part, nn.Conv2d)]
        spatial = [weight for weight in weights if weight.shape[2] > 1 and weight.shape[1] > 1]
        assert all(weight.is_contiguous(memory_format=order) for weight in spatial)
        assert memory_order(model, example(pixels)) == order


@pytest.mark.parametrize("shape", [(1, 12), (1, 3, 8), (1, 3, 8, 8)])
def test_without_convolutions_of_images_the_order_stays(shape):
    model = nn.Sequential(nn.Flatten(), nn.LazyLinear(4)).eval()
    model(torch.rand(shape))
    assert memory_order(model, torch.rand(shape)) == torch.preserve_format
    assert prepared(model, torch.rand(shape))(torch.rand(5, *shape[1:])).shape == (5, 4)


def test_on_an_accelerator_only_lower_precision_wants_colour_innermost():
    model = nn.Conv2d(3, 8, 3).to("meta")
    assert memory_order(model, example(8).to("meta")) == torch.preserve_format
    assert memory_order(model.bfloat16(), example(8).bfloat16().to("meta")) == INNER
