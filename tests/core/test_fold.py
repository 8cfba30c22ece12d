"""Folding BatchNorm changes no output and no field."""

import pytest
import timm
import torch
import torchvision
from torch import nn

from experiments.networks.resnet_cifar import resnet
from modelgif_core import Paths, extract_field, fold_batchnorm

IMAGES = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def trained(model):
    """With statistics and scales unlike those of a new model."""
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d) and module.track_running_stats:
            for tensor, low in ((module.weight, 0.5), (module.running_var, 0.5), (module.running_mean, -0.2)):
                tensor.data.copy_(low + torch.rand(tensor.shape, generator=generator))
    return model.eval()


NETWORKS = {
    "resnet20": lambda: resnet(20, classes=10, seed=0),
    "timm": lambda: timm.create_model("test_resnet", num_classes=10),
    "vgg": lambda: torchvision.models.vgg11_bn(num_classes=10),
    "timm with norm, drop and activation in one": lambda: timm.create_model("mobilenetv3_small_050", num_classes=10),
    "mobilenet": lambda: torchvision.models.mobilenet_v2(num_classes=10),
    "perceptron": lambda: nn.Sequential(nn.Flatten(), nn.Linear(3072, 8), nn.BatchNorm1d(8), nn.Linear(8, 10)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_folded_network_has_the_same_field_without_batchnorm(name):
    torch.manual_seed(0)
    model = trained(NETWORKS[name]())
    same = fold_batchnorm(model, IMAGES[:1])
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
    same = fold_batchnorm(model, IMAGES[:1])
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(tensor.requires_grad for tensor in model.parameters())
    assert not any(tensor.requires_grad for tensor in same.parameters())
    heads = [part for part in same.modules() if isinstance(part, nn.Linear)][-1]
    assert heads.weight.data_ptr() in places


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


def norms(model):
    return sum(isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d) for part in model.modules())


class Doubling(nn.BatchNorm2d):
    """A BatchNorm that does something else besides."""

    def forward(self, inputs):
        return 2 * super().forward(inputs)


@pytest.mark.parametrize(
    "model",
    [
        Forked(),
        Twice(),
        nn.Sequential(nn.Conv2d(3, 4, 3), Doubling(4), nn.Flatten()),
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.Flatten()),
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4), nn.Flatten()),
        nn.Sequential(nn.Flatten(), nn.Linear(3072, 10)),
    ],
)
def test_what_cannot_be_folded_stays_as_it_is(model):
    same = fold_batchnorm(trained(model), IMAGES[:1])
    assert norms(same) == norms(model)
    assert torch.equal(same(IMAGES), model(IMAGES))


def test_models_in_half_precision_are_not_folded_because_their_weights_would_be_rounded_anew():
    model = trained(NETWORKS["resnet20"]()).bfloat16()
    same = fold_batchnorm(model, IMAGES[:1].bfloat16())
    assert norms(same) == norms(model)


def test_double_precision_is_folded_to_its_own_rounding():
    model = trained(NETWORKS["timm"]()).double()
    same = fold_batchnorm(model, IMAGES[:1].double())
    assert norms(same) == 0
    torch.testing.assert_close(same(IMAGES.double()), model(IMAGES.double()), rtol=1e-10, atol=1e-10)


def test_a_model_in_training_mode_stays_there_and_its_copy_does_not():
    model = trained(NETWORKS["timm"]()).train()
    statistics = [value.clone() for value in model.buffers()]
    same = fold_batchnorm(model, IMAGES[:1])
    assert model.training
    assert not any(part.training for part in same.modules())
    assert all(torch.equal(*pair) for pair in zip(statistics, model.buffers(), strict=True))


def test_hooks_count_what_passes_through_a_copy_and_what_folding_shows_it():
    model = trained(NETWORKS["resnet20"]())

    class Counter:
        seen = 0

        def count(self, module, inputs):
            self.seen += len(inputs[0])

    counter = Counter()
    model.register_forward_pre_hook(counter.count)
    same = fold_batchnorm(model, IMAGES[:1])
    assert counter.seen == 2
    same(IMAGES)
    assert counter.seen == 6


@pytest.mark.filterwarnings("ignore:.*weight_norm")
@pytest.mark.parametrize("name", ["old weight norm", "levit_128s"])
def test_models_that_keep_computed_tensors_among_their_attributes_are_copied_all_the_same(name):
    layers = [torch.nn.utils.weight_norm(nn.Conv2d(3, 4, 3)), nn.BatchNorm2d(4), nn.Flatten()]
    model = trained(nn.Sequential(*layers) if name == "old weight norm" else timm.create_model(name, num_classes=10))
    images = torch.nn.functional.interpolate(IMAGES[:1], 224)
    expected = model(images)  # fills the cache of LeViT's attention
    torch.testing.assert_close(fold_batchnorm(model, images)(images), expected, rtol=1e-4, atol=1e-4)
