"""Networks by a line of text: what names none says so, weights bring their own head, all see the same pixels."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import run
from experiments.commands.refusal import Refused
from experiments.storage.configuration import composed
from experiments.testbeds.pairwise import networks, toy

IMAGES = torch.rand(6, 3, 4, 4, generator=torch.Generator().manual_seed(0))
TOY = ["testbed=pairwise", "testbed/zoo=pairwise_toy", "testbed/samples=toy", "testbed.budget=8"]
NAMED = "experiments.testbeds.pairwise.toy:small"


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("timm:resnet81", "timm has no network 'resnet81'; did you mean resnet18"),
        ("nowhere.safetensors@timm:resnet18", "nowhere.safetensors is missing"),
        ("resnet18", "names no model; the forms are"),
        ("nosuch.module:factory", "there is no module 'nosuch.module'"),
        ("torch:zeros", "cannot be called without arguments"),
        ("./my.py:net", "'./my.py' is a file, and a module that Python can import is needed"),
        (".my:net", "'.my' is a file, and a module"),
    ],
)
def test_a_text_that_names_no_model_says_what_does(model, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Refused) as refusal:
        run.main(composed(*TOY, f"testbed.zoo.models=[{model},{NAMED}]", "method=agreement", "wandb=disabled"))
    assert said in str(refusal.value)
    assert not list(tmp_path.rglob("report.json"))


def test_weights_that_change_under_their_name_are_measured_anew(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    texts = ["mine.safetensors@experiments.testbeds.pairwise.toy:small", NAMED]
    arguments = [*TOY, f"testbed.zoo.models=[{','.join(texts)}]", "method=agreement", "wandb=disabled"]

    def done():
        run.main(composed(*arguments))
        return len(list(tmp_path.glob("results/runs/*/report.json"))), "finished before" in capsys.readouterr().out

    save_file(toy.small().state_dict(), tmp_path / "mine.safetensors")
    assert [done(), done()] == [(1, False), (1, True)]
    save_file(toy.small_stranger().state_dict(), tmp_path / "mine.safetensors")
    assert [done(), done()] == [(2, False), (2, True)]


def test_weights_have_the_names_that_parallel_training_gives_them_or_the_networks_own(tmp_path):
    trained = toy.small_stranger().state_dict()
    torch.save({f"module.{name}": value for name, value in trained.items()}, tmp_path / "mine.pt")
    network = networks.load(f"{tmp_path}/mine.pt@experiments.testbeds.pairwise.toy:small", 0)
    assert all(torch.equal(value, trained[name]) for name, value in network.state_dict().items())


def test_weights_of_a_file_with_other_classes_bring_their_own_head(tmp_path):
    other = networks.load("timm:test_resnet", 0).network
    other.reset_classifier(7)
    save_file(other.state_dict(), tmp_path / "seven.safetensors")
    loaded = networks.load(f"{tmp_path}/seven.safetensors@timm:test_resnet", 0)
    assert loaded(IMAGES).shape == (6, 7)


@pytest.mark.parametrize(
    ("content", "network", "said"),
    [
        (torch.zeros(3), "timm:test_resnet", "holds a Tensor, where tensors by their names are needed"),
        ([torch.zeros(3)], "timm:test_resnet", "holds a list, where tensors by their names are needed"),
        ({"state_dict": [1]}, "timm:test_resnet", "holds a list, where tensors by their names are needed"),
        ({"state_dict": {"fc.bias": 3}}, "timm:test_resnet", "holds a int under 'fc.bias', where a tensor is needed"),
        ({"fc.bias": torch.tensor(1.0)}, "timm:test_resnet", "does not hold the weights of timm:test_resnet"),
        ({"bias": torch.zeros(3)}, "torch.nn:Identity", "does not hold the weights of torch.nn:Identity"),
    ],
)
def test_a_file_without_the_networks_weights_says_what_it_holds(content, network, said, tmp_path):
    torch.save(content, tmp_path / "mine.pt")
    with pytest.raises(ValueError, match=said):
        networks.load(f"{tmp_path}/mine.pt@{network}", 0)


def test_a_factorys_network_may_end_in_a_single_number(tmp_path, monkeypatch):
    monkeypatch.setattr(toy, "normed", lambda: nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)), raising=False)
    torch.save(toy.normed().state_dict(), tmp_path / "mine.pt")
    network = networks.load(f"{tmp_path}/mine.pt@experiments.testbeds.pairwise.toy:normed", 0)
    assert list(network.state_dict())[-1] == "1.num_batches_tracked"


def test_every_network_is_shown_the_same_pixels_in_its_own_size_and_colours():
    grey = networks.Shown(nn.Identity(), {"input_size": (1, 8, 8), "mean": (0.5,), "std": (0.5,)})
    colour = networks.Shown(nn.Identity(), {"input_size": (3, 8, 8), "mean": (0.5, 0.5, 0), "std": (0.5, 0.5, 1)})
    alike = networks.Shown(nn.Identity(), {"input_size": (3, 8, 8), "mean": (0.5,), "std": (0.5,)})
    for images in (IMAGES, IMAGES[:, :1]):
        assert grey(images).shape == (6, 1, 8, 8)
        assert colour(images).shape == alike(images).shape == (6, 3, 8, 8)
    white, red = torch.ones(1, 3, 4, 4), torch.eye(3)[:1, :, None, None].expand(1, 3, 4, 4)
    for image, in_grey, in_colour in [
        (white, 1, [1, 1, 1]),
        (0 * white, -1, [-1, -1, 0]),
        (red, -1 / 3, [1, -1, 0]),  # a third of white's brightness
        (white[:, :1], 1, [1, 1, 1]),
    ]:
        torch.testing.assert_close(grey(image), torch.full((1, 1, 8, 8), float(in_grey)))
        torch.testing.assert_close(colour(image)[0, :, 4, 4], torch.tensor(in_colour).float())
