"""CIFAR's ResNets: their architecture, and published weights on fabricated checkpoints."""

import hashlib
import io
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.functional import pad

from experiments.networks.resnet_cifar import MEAN, STD, Shortcut, load_published, resnet
from modelgif_core import Paths, extract_field

IMAGES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


class Intruder:
    """Makes a file when it is unpickled."""

    def __init__(self, file: Path):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85)])
def test_networks_have_the_published_depth_and_number_of_parameters(depth, millions):
    model = resnet(depth, classes=10, seed=0)
    assert round(sum(parameter.numel() for parameter in model.parameters()) / 1e6, 2) == millions
    assert sum(isinstance(module, nn.Conv2d | nn.Linear) for module in model.modules()) == depth


def test_stages_have_16_32_and_64_channels_at_32_16_and_8_pixels():
    model, shapes = resnet(8, classes=7, seed=0), []
    for stage in (model[1].layer1, model[1].layer2, model[1].layer3):
        stage.register_forward_hook(lambda module, inputs, output: shapes.append(tuple(output.shape)))
    assert model(IMAGES).shape == (2, 7)
    assert shapes == [(2, 16, 32, 32), (2, 32, 16, 16), (2, 64, 8, 8)]


@pytest.mark.parametrize(("size", "half"), [(8, 4), (7, 4)])
def test_the_shortcut_is_exactly_every_second_pixel_between_zeros_and_has_no_parameters(size, half):
    inputs = torch.rand(2, 4, size, size, requires_grad=True)
    outputs = Shortcut()(inputs)
    assert outputs.shape == (2, 8, half, half)
    assert torch.equal(outputs[:, 2:6], inputs[:, :, ::2, ::2])
    assert not outputs[:, :2].any()
    assert not outputs[:, 6:].any()
    outputs.sum().backward()
    assert inputs.grad.sum() == 2 * 4 * half**2
    assert not Shortcut().state_dict()


def test_without_its_residual_branches_a_network_is_its_first_layer_subsampled_and_its_last():
    model = resnet(14, classes=5, seed=0)
    network = model[1]
    for name, parameter in network.named_parameters():
        if name.endswith("bn2.weight"):
            nn.init.zeros_(parameter)
    with torch.no_grad():
        first = network.relu(network.bn1(network.conv1(model[0](IMAGES))))
        middle = first[:, :, ::4, ::4].mean((2, 3))
        torch.testing.assert_close(model(IMAGES), network.linear(pad(middle, (24, 24))))


def test_colours_are_standardised_inside():
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    plain = resnet(8, classes=3, seed=1, mean=(0, 0, 0), std=(1, 1, 1))
    inside = resnet(8, classes=3, seed=1, mean=mean, std=std)
    expected = plain((IMAGES - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1))
    torch.testing.assert_close(inside(IMAGES), expected)
    assert torch.equal(resnet(8, classes=3, seed=1)(IMAGES), resnet(8, classes=3, seed=1, mean=MEAN, std=STD)(IMAGES))


def test_weights_depend_on_the_seed_alone_and_models_are_at_rest():
    torch.manual_seed(1234)
    state = torch.get_rng_state()
    first, again, other = (resnet(8, classes=3, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(first(IMAGES), again(IMAGES))
    assert not torch.equal(first(IMAGES), other(IMAGES))
    assert not any(module.training for module in first.modules())


def test_weights_have_the_variance_of_he_et_al():
    for module in resnet(56, classes=1000, seed=0).modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            variance = 2 / module.weight[0].numel()
            few = 10 / module.weight.numel() ** 0.5
            assert module.weight.var().item() == pytest.approx(variance, rel=few)
            assert module.weight.abs().max() > 2 * variance**0.5  # a uniform one would end at the square root of 3
            assert module.bias is None or not module.bias.any()


def test_a_field_is_complete_up_to_quadrature():
    model = resnet(8, classes=4, seed=0)
    paths = Paths(IMAGES + 0.01 * torch.randn(IMAGES.shape, generator=torch.Generator().manual_seed(1)), IMAGES)
    field = extract_field(model, paths, steps=16)
    top = model(IMAGES).argmax(1, keepdim=True)
    gain = (model(IMAGES) - model(paths.starts)).gather(1, top)[:, 0]
    torch.testing.assert_close(field[:, -1].sum(1), gain, rtol=0.05, atol=1e-3)


@pytest.mark.parametrize("depth", [0, 2, 18, 21, -4])
def test_a_depth_that_is_no_6n_plus_2_is_refused(depth):
    with pytest.raises(ValueError, match=rf"depth must be 6n \+ 2 \(20, 32, 44, 56, ...\), not {depth}"):
        resnet(depth, classes=10, seed=0)


def test_impossible_classes_and_colours_are_refused():
    with pytest.raises(ValueError, match="classes must be at least 1, not 0"):
        resnet(8, classes=0, seed=0)
    for mean, std in [((0, 0), (1, 1)), ((0, 0, 0), (1, 0, 1)), ((0, 0, 0), (1, 1, 1, 1))]:
        with pytest.raises(ValueError, match="mean and std must be three numbers each, std above 0, not"):
            resnet(8, classes=3, seed=0, mean=mean, std=std)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("prefix", ["module.", ""])
@pytest.mark.parametrize("counters", [False, True])
def test_a_checkpoint_loads_strictly_and_computes_what_was_saved(legacy, prefix, counters, tmp_path):
    original, weights = trained()
    kept = {prefix + key: value for key, value in weights.items() if counters or "num_batches" not in key}
    loaded = load_published(write(tmp_path, {"state_dict": kept, "best_prec1": 91.0}, legacy=legacy), 8)
    assert torch.equal(loaded(IMAGES), original(IMAGES))
    assert not any(module.training for module in loaded.modules())
    assert all(parameter.requires_grad for parameter in loaded.parameters())


def test_a_checkpoint_without_a_sum_in_its_name_loads(tmp_path):
    original, weights = trained()
    torch.save({"state_dict": weights}, tmp_path / "my-resnet.th")
    assert torch.equal(load_published(str(tmp_path / "my-resnet.th"), 8)(IMAGES), original(IMAGES))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weights: weights.pop("module.layer3.0.conv1.weight"), r"layer3\.0\.conv1\.weight is missing \(1 such"),
        (lambda weights: weights.update({"module.fc": torch.zeros(3)}), r"fc is unknown \(1 such"),
        (lambda weights: weights.update({3: torch.zeros(3)}), r"3 is unknown \(1 such"),
        (lambda weights: weights.update({"module.linear.bias": torch.zeros(100)}), "size mismatch for linear.bias"),
        (lambda weights: weights.update({"module.linear.bias": [1.0]}), "linear.bias"),
        (lambda weights: weights.clear(), r"conv1\.weight is missing \(\d\d such entries\)$"),
    ],
)
def test_keys_and_shapes_are_held_strictly_and_the_first_culprit_is_named(change, message, tmp_path):
    weights = OrderedDict((f"module.{key}", value) for key, value in trained()[1].items())
    change(weights)
    with pytest.raises(ValueError, match=f"does not hold a ResNet-8: .*{message}"):
        load_published(write(tmp_path, {"state_dict": weights}), 8)


@pytest.mark.parametrize(("saved", "asked"), [(8, 14), (14, 8)])
def test_another_depth_is_refused_and_told(saved, asked, tmp_path):
    file = write(tmp_path, {"state_dict": trained(saved)[1]})
    with pytest.raises(ValueError, match=rf"a ResNet-{asked}: layer1\.1.*; its first stage is that of depth {saved}"):
        load_published(file, asked)


@pytest.mark.parametrize("content", [{"weights": {}}, {"state_dict": [1, 2]}, torch.zeros(2), [1]])
def test_a_file_without_a_state_dict_is_refused(content, tmp_path):
    with pytest.raises(ValueError, match="no entry 'state_dict'"):
        load_published(write(tmp_path, content), 8)


@pytest.mark.parametrize("harm", ["truncated", "one bit changed", "empty"])
def test_a_file_that_is_not_the_one_in_its_name_is_refused(harm, tmp_path):
    file = write(tmp_path, {"state_dict": trained()[1]})
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes({"truncated": content[:1000], "empty": b""}.get(harm, content))
    with pytest.raises(ValueError, match=r"is damaged .* delete it, or rename it .*; put a checkpoint of https"):
        load_published(file, 8)


def test_a_name_that_ends_in_a_date_promises_nothing(tmp_path):
    file = write(tmp_path, {"state_dict": trained()[1]}).rename(tmp_path / "resnet-20230901.th")
    assert load_published(file, 8)


@pytest.mark.parametrize("content", [b"", b"no tensors in here", b"\x80\x02}q\x00.", b"\x80\x02\x8a\x0a"])
def test_bytes_that_are_no_checkpoint_are_refused(content, tmp_path):
    (tmp_path / "x.th").write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.th (is damaged or holds something else|holds no checkpoint)"):
        load_published(tmp_path / "x.th", 8)


def test_an_object_in_a_file_is_refused_and_not_run(tmp_path):
    file = write(tmp_path, {"state_dict": Intruder(tmp_path / "trace")})
    with pytest.raises(ValueError, match="something else than tensors, which is not opened"):
        load_published(file, 8)
    assert not (tmp_path / "trace").exists()


def test_a_missing_file_says_what_to_put_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"x\.th is missing; put a checkpoint of https://.* there"):
        load_published(tmp_path / "x.th", 20)
    with pytest.raises(FileNotFoundError, match="is missing"):
        load_published(tmp_path, 20)


def trained(depth=8):
    """A network whose every number is its own, as after training, and its weights under their keys."""
    model = resnet(depth, classes=10, seed=5)
    for number, (key, value) in enumerate(model[1].state_dict().items()):
        generator = torch.Generator().manual_seed(number)
        if value.is_floating_point():
            value.add_(0.1 * torch.rand(value.shape, generator=generator))
        elif key.endswith("num_batches_tracked"):
            value.fill_(7)
    return model, model[1].state_dict()


def write(folder, content, *, legacy=False):
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=not legacy)
    file = folder / f"resnet8-{hashlib.sha256(buffer.getvalue()).hexdigest()[:8]}.th"
    file.write_bytes(buffer.getvalue())
    return file
