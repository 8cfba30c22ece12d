"""What alters the name of a run or a model, and what does not."""

import copy
import sys
from dataclasses import replace
from functools import partial
from types import ModuleType

import pytest
import torch
from conftest import TOY
from hydra.utils import instantiate

from experiments.interfaces import Samples
from experiments.networks.timm import build
from experiments.storage import identity, record
from experiments.storage.identity import described, digest
from experiments.training.fit import fit
from experiments.training.recipe import Recipe


def settings(size, *, shade=0.5):
    return size * shade


def moved_to(module: str, function, **changes):
    """A function of the same name and code in another module, with other defaults if asked for."""
    place = sys.modules.setdefault(module, ModuleType(module))
    twin = type(function)(function.__code__, function.__globals__, function.__name__)
    twin.__kwdefaults__, twin.__module__ = {**function.__kwdefaults__, **changes}, module
    setattr(place, function.__name__, twin)
    return f"{module}.{function.__name__}"


def test_a_name_does_not_hang_on_where_code_lies_but_on_every_setting_and_default():
    here = {"_target_": f"{__name__}.settings", "_partial_": True, "size": 3}
    name = digest(described(here))
    assert digest(described(here | {"_target_": moved_to("elsewhere", settings)})) == name
    assert digest(described(here | {"shade": 0.5})) == name
    assert digest(described(partial(settings, size=3))) == name
    assert digest(described(partial(partial(settings, size=2), size=3))) == name
    assert digest(described(here | {"_target_": moved_to("changed", settings, shade=0.6)})) != name
    assert digest(described(here | {"shade": 0.6})) != name
    assert digest(described(here | {"size": 4})) != name


def test_an_option_that_is_off_renames_nothing():
    assert described({"_target_": f"{__name__}.settings", "size": None}) == ["settings", {"shade": 0.5}]


@pytest.mark.parametrize(
    "same",
    [
        ["device=cuda"],
        ["wandb=disabled"],
        ["workers=7"],
        ["cache=elsewhere"],
        ["results=other"],
        ["method.label=another"],
        ["method.access=label"],
        ["chunk=5"],
    ],
    ids=str,
)
def test_a_run_keeps_its_name(same, config):
    here = config(*TOY)
    there = config(*TOY, *same)
    assert record.folder(there).name == record.folder(here).name


@pytest.mark.parametrize(
    "other",
    ["seed=1", "method=akh", "testbed.budget=9", "method.represent.steps=49", "testbed.zoo.noise=0.06"],
)
def test_a_run_of_other_settings_has_another_name(other, config):
    assert record.folder(config(*TOY, other)) != record.folder(config(*TOY))


def test_fetching_data_changes_no_name(config):
    cifar = ["testbed=unlearning", "testbed/zoo=unlearning_cifar10"]
    fetched = config(*cifar, "testbed.zoo.pools.download=true", "testbed.zoo.pools.root=elsewhere")
    assert record.folder(fetched) == record.folder(config(*cifar))


@pytest.fixture
def recipe(tmp_path):
    images = Samples(torch.rand(4, 1, 20, 20, generator=torch.Generator().manual_seed(0)), torch.arange(4))
    return Recipe(
        "victim", "victim", "resnet", tmp_path, 0, 1, lambda: images, partial(build, "test_resnet", classes=10), fit
    )


def test_a_model_is_named_by_the_pixels_it_learns_from_not_by_where_they_lie(recipe):
    one, same, other = (copy.deepcopy(recipe.data()) for _ in range(3))
    other.inputs[2, 0, 5, 5] += 1 / 255
    assert replace(recipe, data=lambda: same).file() == recipe.file()
    assert replace(recipe, data=lambda: other).file() != recipe.file()
    assert replace(recipe, data=lambda: one._replace(labels=one.labels.flip(0))).file() != recipe.file()


@pytest.mark.parametrize(
    ("change", "renames"),
    [
        ({"role": "suspect"}, False),
        ({"architecture": "ResNet"}, False),
        ({"device": "cuda"}, False),
        ({"command": "another"}, False),
        ({"facts": dict}, False),
        ({"version": 2}, True),
        ({"seed": 1}, True),
        ({"network": partial(build, "test_resnet", classes=9)}, True),
        ({"make": partial(fit, batch_size=16)}, True),
        ({"make": partial(fit, batch_size=32)}, False),
    ],
    ids=lambda part: "".join(part) if isinstance(part, dict) else None,
)
def test_a_models_file_hangs_on_what_decides_its_weights(recipe, change, renames):
    assert (replace(recipe, **change).file() != recipe.file()) == renames


def test_seeds_hang_on_names_alone(recipe):
    assert replace(recipe, version=2, network=build).own_seed == recipe.own_seed
    assert len({recipe.own_seed, replace(recipe, seed=1).own_seed, replace(recipe, name="other").own_seed}) == 3


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (
            {"_target_": f"{__name__}.settings", "sice": 3},
            "settings has no setting 'sice'; did you mean size\\? It has size, shade",
        ),
        ({"_target_": f"{__name__}.nosuch"}, "there is no function"),
        ({"_target_": "experiments.training.fit"}, "is no function, but a module"),
        (lambda: 0, "without a name of its own"),
    ],
    ids=["setting", "function", "module", "nameless"],
)
def test_what_cannot_be_named_is_refused(part, message):
    with pytest.raises(ValueError, match=message):
        described(part)


def test_every_model_of_a_zoo_has_a_file_of_its_own(config):
    zoo = instantiate(config()["testbed"]["zoo"], _convert_="all")
    recipes = {model.job: model.load.args[0] for model in zoo.values()}
    assert len({recipe.file() for recipe in recipes.values()}) == len(recipes) > 100
    assert len({recipe.own_seed for recipe in recipes.values()}) == len(recipes)


def test_a_fingerprint_tells_shapes_apart():
    assert identity.fingerprint(torch.zeros(4)) != identity.fingerprint(torch.zeros(2, 2))
