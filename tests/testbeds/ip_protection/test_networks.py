"""Lineage zoos of other images, of networks without a name, and of models that others have trained."""

from functools import partial

import pytest
import torch
from hydra.utils import instantiate
from test_lineage import RESNET, TINY
from torch import nn

from experiments.interfaces import Samples
from experiments.networks.resnet_cifar import PUBLISHED, resnet
from experiments.networks.timm import build
from experiments.testbeds.ip_protection.lineage import lineage

LABELS = torch.arange(800) % 4
DRAWN = torch.rand(800, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 0.5 + LABELS.view(-1, 1, 1, 1) / 8


def photographs(part, size=None):
    first = ["victim", "attacker", "stranger", "evaluation"].index(part) * 200
    return Samples(DRAWN[first : first + (size or 200)], LABELS[first : first + (size or 200)])


def small(*, seed):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 8, 3, 2), nn.ReLU()]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)).eval()


COLOUR = TINY | {
    "tasks": dict.fromkeys(TINY["tasks"], photographs),
    "networks": {"resnet": RESNET | {"network": small}},
}


def test_a_zoo_can_be_made_of_colour_images_and_any_network(tmp_path):
    zoo = lineage(cache=str(tmp_path), **COLOUR)
    chosen = {model.role: model for model in zoo.values()}
    for role in ("victim", "extract_p", "extract_adv", "pruning", "finetune_l", "transfer_l", "unrelated_turned"):
        chosen[role].prepare()
        assert chosen[role].load()(DRAWN[:2]).shape == (2, 10)
        assert 0 <= chosen[role].facts()["accuracy"] <= 1


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A network that counts as published, and where its file lies."""
    network, file = resnet(20, classes=10, seed=1), tmp_path / "resnet20.th"
    torch.save({"state_dict": network[1].state_dict()}, file)
    monkeypatch.setitem(PUBLISHED, 20, file.name)
    return network, {"published": {"root": str(tmp_path), "depths": [20, 32]}}


def test_a_stranger_from_elsewhere_is_opened_and_not_trained(published, tmp_path):
    network, given = published
    stranger = lineage(cache=str(tmp_path), **given, **COLOUR)["elsewhere_original-resnet20-0"]
    stranger.prepare()
    pairs = zip(stranger.load().parameters(), network.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    assert 0 <= stranger.facts()["fidelity"] <= 1


def test_a_published_victim_is_changed_and_not_asked(published, tmp_path):
    network, given = published
    zoo = lineage(cache=str(tmp_path), **given, **COLOUR | {"victims": ["resnet20"]})
    roles = {model.role for model in zoo.values()}
    assert not any(role.startswith(("extract", "surrogate", "transfer")) for role in roles)
    assert [name for name, model in zoo.items() if model.architecture == "resnet_cifar" and "elsewhere" in name] == [
        "elsewhere_original-resnet32-0"
    ]
    tuned = zoo["finetune_l-resnet_cifar-0"]
    tuned.prepare()
    body, found = network.state_dict(), tuned.load().state_dict()
    assert all(torch.equal(body[key], found[key]) for key in body if "linear" not in key)
    assert not torch.equal(body["1.linear.weight"], found["1.linear.weight"])
    assert tuned.architecture == zoo["victim-resnet20-0"].architecture
    with pytest.raises(ValueError, match="victims must be some of resnet, resnet20, resnet32, not 'resnet44'"):
        lineage(cache=str(tmp_path), **given, **COLOUR | {"victims": ["resnet44"]})


def test_a_published_stranger_that_is_not_there_is_refused(tmp_path):
    published = partial(lineage, cache=str(tmp_path), **COLOUR)
    stranger = published(published={"root": "nowhere", "depths": [20]})["elsewhere_original-resnet20-0"]
    with pytest.raises(FileNotFoundError, match=r"resnet20-12fca82f\.th is missing; put a checkpoint of"):
        stranger.prepare()
    with pytest.raises(ValueError, match=r"depth must be one of 20, .*, not 21"):
        published(published={"root": "nowhere", "depths": [21]})


def test_what_timm_cannot_build_is_said_in_one_line_with_the_options():
    with pytest.raises(ValueError, match=r"timm cannot build 'test_resnet' with widht=3: .*'widht'"):
        build("test_resnet", classes=2, seed=0, widht=3)


def test_the_demo_leaves_out_models_of_the_default_zoo_and_a_family_and_changes_none(config):
    demo, default = (
        instantiate(config(f"testbed/zoo={name}")["testbed"]["zoo"], _convert_="all") for name in ("demo", "mini")
    )
    assert set(demo) < set(default)
    assert {model.architecture for model in demo.values()} < {model.architecture for model in default.values()}
    assert all(model.fingerprint() == default[name].fingerprint() for name, model in demo.items())
