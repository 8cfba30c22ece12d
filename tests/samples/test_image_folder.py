"""Probe images: folders of photographs, and random samples under an attack."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import TOY
from hydra.utils import instantiate
from PIL import Image

from experiments.interfaces import ZooModel
from experiments.measure import measure
from experiments.queries.adversarial import pgd_samples
from experiments.queries.samples import random_samples
from experiments.samples.image_folder import image_folder
from modelgif_core.readout import every_output, predicted_class

ATTACK = {"seed": 0, "epsilon": 8 / 255, "step": 2 / 255, "iterations": 8, "readout": every_output}


@pytest.fixture
def folder(tmp_path):
    """Six images, each of one colour of its own, in two layers of folders."""
    for number, name in enumerate(["b/1.png", "b/2.PNG", "a/c/3.jpeg", "a/4.jpg", "5.JPG", "6.png"]):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20 + number, 30), (40 * number, 0, 255)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


@pytest.fixture
def testbed(config):
    return instantiate(config(*TOY)["testbed"], _convert_="all")


def test_images_are_colour_squares_in_the_unit_range(folder):
    samples = image_folder(folder=str(folder), count=6, size=16, seed=0)
    assert samples.inputs.shape == (6, 3, 16, 16)
    assert samples.labels is None
    assert samples.inputs.dtype == torch.float32
    assert 0 <= samples.inputs.min() < samples.inputs.max() <= 1
    assert sorted(round(5 * red.item()) for red in samples.inputs[:, 0].mean((1, 2)) * 255 / 200) == [0, 1, 2, 3, 4, 5]


def test_the_draw_depends_on_names_and_seed_and_not_on_where_the_folder_lies(folder, tmp_path_factory):
    drawn = image_folder(folder=str(folder), count=4, size=8, seed=1).inputs
    moved = tmp_path_factory.mktemp("elsewhere") / "images"
    folder.rename(moved)
    assert torch.equal(image_folder(folder=str(moved), count=4, size=8, seed=1).inputs, drawn)
    others = [image_folder(folder=str(moved), count=4, size=8, seed=seed).inputs for seed in range(2, 5)]
    assert any(not torch.equal(other, drawn) for other in others)


def test_a_smaller_draw_is_the_beginning_of_a_larger_one(folder):
    large = image_folder(folder=str(folder), count=6, size=8, seed=0).inputs
    assert torch.equal(image_folder(folder=str(folder), count=2, size=8, seed=0).inputs, large[:2])
    assert len(large.flatten(1).unique(dim=0)) == 6


@pytest.mark.parametrize("turned", [False, True])
def test_the_centre_of_the_longer_side_is_kept(turned, tmp_path):
    pixels = np.zeros((32, 96, 3), np.uint8)
    pixels[:, 32:64] = (255, 128, 0)
    pixels = pixels.transpose(1, 0, 2) if turned else pixels
    Image.fromarray(pixels).save(tmp_path / "x.png")
    (image,) = image_folder(folder=str(tmp_path), count=1, size=32, seed=0).inputs
    torch.testing.assert_close(image, torch.tensor([1, 128 / 255, 0]).view(3, 1, 1).expand(3, 32, 32))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA"])
def test_grey_and_transparent_images_become_three_colours(mode, tmp_path):
    Image.new("RGB", (16, 16), (255, 255, 255)).convert(mode).save(tmp_path / "x.png")
    assert image_folder(folder=str(tmp_path), count=1, size=16, seed=0).inputs.eq(1).all()


def test_an_unreadable_image_is_named(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    for name in ("x.png", "x.jpg"):
        file = tmp_path / name
        Image.fromarray(noise).save(file)
        whole = file.read_bytes()
        for content in (b"", b"no image", whole[: len(whole) // 2]):
            file.write_bytes(content)
            with pytest.raises(ValueError, match=rf"cannot read the image .*{name}: "):
                image_folder(folder=str(tmp_path), count=1, size=16, seed=0)
        file.unlink()


def test_depths_of_sixteen_bits_are_not_taken_for_colours(tmp_path):
    Image.fromarray(np.full((16, 16), 30_000, np.uint16)).save(tmp_path / "depth.png")
    with pytest.raises(ValueError, match=r"depth\.png: its pixels are of the kind I;16"):
        image_folder(folder=str(tmp_path), count=1, size=16, seed=0)


def test_a_folder_that_is_missing_or_too_small_and_a_size_that_is_are_refused(folder):
    with pytest.raises(ValueError, match=r"there is no folder .*nowhere; set testbed\.samples\.folder"):
        image_folder(folder=str(folder / "nowhere"), count=1, size=16, seed=0)
    for count in (0, 7):
        with pytest.raises(ValueError, match=rf"holds 6 images .* not {count}"):
            image_folder(folder=str(folder), count=count, size=16, seed=0)
    with pytest.raises(ValueError, match="at least 8 pixels, not 7"):
        image_folder(folder=str(folder), count=1, size=7, seed=0)


def test_attacked_samples_stay_near_the_clean_ones_and_in_the_unit_range(testbed):
    attacked, clean = pgd_samples(testbed, **ATTACK), random_samples(testbed, seed=0)
    assert (attacked.inputs - clean.inputs).abs().max() <= 8 / 255 + 1e-6
    assert 0 <= attacked.inputs.min() < attacked.inputs.max() <= 1
    assert torch.equal(attacked.labels, clean.labels)
    assert torch.equal(attacked.inputs, pgd_samples(testbed, **ATTACK).inputs)


def test_an_attack_changes_the_source_more_than_noise_and_more_with_every_step(testbed):
    clean, model = random_samples(testbed, seed=0).inputs, testbed.zoo["victim"].load()

    def change(iterations):
        attacked = pgd_samples(testbed, **ATTACK | {"iterations": iterations}).inputs
        return (model(attacked) - model(clean)).square().sum(1).mean().item()

    noise = 8 / 255 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0)).sign()
    by_noise = (model((clean + noise).clamp(0, 1)) - model(clean)).square().sum(1).mean().item()
    assert by_noise < change(1) < change(2) < change(8)
    assert change(8) > 4 * by_noise


def test_an_attack_on_a_linear_output_ends_in_the_corners_of_the_ball(testbed):
    linear = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 1))
    testbed = with_victim(testbed, linear)
    attacked = pgd_samples(testbed, **ATTACK | {"iterations": 20}).inputs
    clean = random_samples(testbed, seed=0).inputs
    direction = linear[1].weight.sign().view(1, 1, 8, 8)
    corners = [(clean + side * 8 / 255 * direction).clamp(0, 1) for side in (-1, 1)]
    nearest = torch.stack([(attacked - corner).abs().amax((1, 2, 3)) for corner in corners]).amin(0)
    assert nearest.max() < 1e-6


def test_an_attack_looks_at_the_outputs_that_the_readout_follows(testbed):
    clean, model = random_samples(testbed, seed=0).inputs, testbed.zoo["victim"].load()
    top = predicted_class(model(clean))

    def change(readout):
        return (top * (model(pgd_samples(testbed, **ATTACK | {"readout": readout}).inputs) - model(clean))).norm()

    assert change(predicted_class) > change(every_output)


def test_the_gradients_of_an_attack_are_counted_as_those_of_the_choice(config, testbed):
    method = instantiate(config("method=modelgif/adversarial", *TOY)["method"], _convert_="all")
    _, cost = measure(testbed, method, torch.device("cpu"))
    assert cost["cost/gradient_selection"] == 8 * testbed.budget
    assert cost["cost/forward_selection"] == testbed.budget


@pytest.mark.parametrize("setting", [{"epsilon": 0}, {"epsilon": 4}, {"step": -0.1}, {"iterations": 0}])
def test_settings_of_an_attack_that_are_out_of_range_are_refused(setting, testbed):
    ((name, value),) = setting.items()
    with pytest.raises(ValueError, match=f"{name} must .* not {value}"):
        pgd_samples(testbed, **ATTACK | setting)


def with_victim(testbed, model):
    victim = ZooModel("victim", "victim", "linear", lambda: model)
    return replace(testbed, zoo={**testbed.zoo, "victim": victim})
