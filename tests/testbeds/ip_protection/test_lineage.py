"""The lineage zoo, shrunk to seconds: files, hashes, crashes, disjoint images."""

import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from timm.models.byobnet import ByoBlockCfg

from experiments.networks.forward import predictions
from experiments.networks.timm import build
from experiments.prepare import prepare
from experiments.samples import digits
from experiments.samples.moved import shift
from experiments.storage.weights import load_facts, load_weights, save_weights
from experiments.testbeds.ip_protection import attacks
from experiments.testbeds.ip_protection.lineage import lineage
from experiments.training.fit import fit

LEARN = partial(fit, epochs=8, rate=1e-2, batch_size=16)
BLOCKS = [
    ByoBlockCfg(type="basic", d=1, c=16, s=2, gs=0, br=1.0),
    ByoBlockCfg(type="basic", d=1, c=16, s=2, gs=0, br=1.0),
]
SMALL = partial(build, "repvgg_a0", classes=10, stem_chs=8, blocks=BLOCKS)
RESNET = {"network": SMALL, "train": LEARN, "study": partial(fit, rate=1e-2, batch_size=16)}
TINY = {
    "victims": ["resnet"],
    "tasks": {"original": digits.digits, "corrupted": digits.corrupted, "turned": digits.turned},
    "images": {"original": 192, "corrupted": 64, "turned": 64},
    "queries": 96,
    "presentations": 192,
    "move": shift,
    "numbers": {
        "derived": 2,
        "pruned": 3,
        "extracted": 1,
        "strangers": 1,
        "held_out": 2,
        "independent": 2,
        "surrogates": 2,
    },
    "networks": {"resnet": RESNET},
    "attacks": {
        "finetune_a": attacks.finetune_all,
        "finetune_l": attacks.finetune_last,
        "pruning": partial(attacks.fine_prune, repair=64, keep=0.0, step=0.2),
        "extract_l": attacks.extract_label,
        "extract_p": attacks.extract_probability,
        "extract_adv": attacks.extract_adversarial,
        "transfer_a": attacks.transfer_all,
        "transfer_l": attacks.transfer_last,
    },
}


def tiny(folder, *roles):
    zoo = lineage(cache=str(folder), **TINY)
    return {name: model for name, model in zoo.items() if not roles or model.role in roles}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    prepare(tiny(folder), workers=1)
    return folder


def test_every_model_of_the_zoo_trains_loads_and_knows_its_accuracy(cache):
    for model in tiny(cache).values():
        assert model.ready()
        assert 0 <= model.facts()["accuracy"] <= 1
        assert model.load()(torch.rand(2, 1, 20, 20)).shape == (2, 10)


def test_training_again_gives_the_same_weights(cache, tmp_path):
    roles = ("victim", "extract_l", "extract_adv", "pruning")
    prepare(tiny(tmp_path, *roles), workers=1)
    for name, model in tiny(tmp_path, *roles).items():
        first, again = tiny(cache)[name].load().state_dict(), model.load().state_dict()
        assert all(torch.equal(first[key], again[key]) for key in first), name


def test_an_attack_does_what_its_name_says(cache):
    zoo = tiny(cache)
    victim = dict(zoo["victim-resnet-0"].load().named_parameters())

    def changed(name):
        now = dict(zoo[name].load().named_parameters())
        return {key for key in victim if victim[key].shape != now[key].shape or not torch.equal(victim[key], now[key])}

    head = {key for key in victim if key.startswith("1.head.fc")}
    assert changed("finetune_l-resnet-0") == head
    assert changed("transfer_l-resnet-0") == head
    assert changed("finetune_a-resnet-0") == set(victim)
    assert changed("unrelated_original-resnet-0") >= {key for key in victim if "weight" in key and "bn" not in key}
    gone = set()
    # Of four rounds of a fifth the last is not trusted.
    for name, ratio in (("pruning-resnet-3@1", 0.2), ("pruning-resnet-3@2", 0.4), ("pruning-resnet-3", 0.6)):
        kernels = [weight.flatten(1) for weight in zoo[name].load().state_dict().values() if weight.ndim == 4][1:]
        before, gone = gone, set((~torch.cat([kernel.any(1) for kernel in kernels])).nonzero().flatten().tolist())
        assert len(gone) == pytest.approx(ratio * sum(map(len, kernels)), abs=1)
        assert gone > before


def test_a_model_with_the_victims_classes_knows_how_like_the_victim_it_answers(cache):
    zoo = tiny(cache)
    assert zoo["victim-resnet-0"].facts()["fidelity"] == 1
    assert zoo["victim-resnet-0"].facts()["divergence"] == 0
    images = digits.digits("evaluation").inputs
    answers = [predictions(zoo[name].load(), images) for name in ("victim-resnet-0", "matched_original-resnet-0")]
    facts = zoo["matched_original-resnet-0"].facts()
    assert facts["fidelity"] == pytest.approx(float((answers[0].argmax(1) == answers[1].argmax(1)).double().mean()))
    assert 0 < facts["divergence"] < 1
    assert "fidelity" not in zoo["unrelated_turned-resnet-0"].facts()


def test_answers_of_other_weights_are_refused(cache, tmp_path):
    shutil.copytree(cache / "lineage", tmp_path / "lineage")
    model = tiny(tmp_path)["finetune_a-resnet-0"]
    file = next((tmp_path / "lineage").glob("finetune_a-resnet-0-????????????.safetensors"))
    save_weights(file, {key: value + 1 for key, value in load_weights(file).items()}, load_facts(file))
    with pytest.raises(ValueError, match=r"answers-.* holds what other weights answered; delete it and run again"):
        model.facts()


def test_a_ladder_of_pruned_models_needs_rounds_that_work_and_images_to_judge_by(tmp_path):
    def zoo(**settings):
        prune = partial(TINY["attacks"]["pruning"], **settings)
        return lineage(cache=str(tmp_path), **TINY | {"attacks": TINY["attacks"] | {"pruning": prune}})

    with pytest.raises(ValueError, match=r"0 rounds of 40% .* which are no 3 different models: prune in smaller"):
        zoo(step=0.4)["pruning-resnet-3"].prepare()
    with pytest.raises(ValueError, match="repair must lie between 1 and 1499"):
        zoo(repair=1500)["pruning-resnet-3"].prepare()


def test_a_missing_file_names_the_command_that_makes_it(tmp_path):
    model = tiny(tmp_path)["victim-resnet-0"]
    with pytest.raises(FileNotFoundError, match=r"python -m experiments\.prepare testbed=ip_protection"):
        model.load()


def test_a_deleted_file_heals(cache):
    zoo = tiny(cache, "victim", "finetune_a")
    model = zoo["finetune_a-resnet-0"]
    before = model.load().state_dict()
    next((cache / "lineage").glob("finetune_a-resnet-0-????????????.safetensors")).unlink()
    assert prepare(zoo, workers=1) == 1
    assert all(torch.equal(value, before[key]) for key, value in model.load().state_dict().items())


@pytest.mark.parametrize("harm", ["truncate", "flip a byte", "empty", "other architecture"])
def test_a_file_that_is_not_what_was_written_is_refused(harm, cache, tmp_path):
    original = next((cache / "lineage").glob("victim-resnet-0-????????????.safetensors"))
    file = tmp_path / "lineage" / original.name
    file.parent.mkdir()
    content = bytearray(original.read_bytes())
    if harm == "truncate":
        content = content[: len(content) // 2]
    elif harm == "flip a byte":
        content[-5] ^= 1
    elif harm == "empty":
        content = bytearray()
    file.write_bytes(content)
    if harm == "other architecture":
        save_weights(file, torch.nn.Linear(3, 3).state_dict(), load_facts(original))
    expected = "another architecture" if harm == "other architecture" else "is damaged"
    with pytest.raises(ValueError, match=rf"{expected}.*delete it and run again"):
        tiny(tmp_path)["victim-resnet-0"].load()


@pytest.mark.parametrize("ask", ["load", "facts"])
def test_models_that_changed_places_are_refused_by_name(ask, cache, tmp_path):
    (tmp_path / "lineage").mkdir()
    names = [f"{name}-resnet-0-????????????.safetensors" for name in ("victim", "extract_l")]
    files = [next((cache / "lineage").glob(name)) for name in names]
    for file, other in zip(files, reversed(files), strict=True):
        shutil.copy(file, tmp_path / "lineage" / other.name)
    victim = tiny(tmp_path)["victim-resnet-0"]
    with pytest.raises(ValueError, match=r"victim-.* was written as extract_l-resnet-0-.*; delete it and run again"):
        getattr(victim, ask)()
    # A file of the right name that is of another recipe.
    save_weights(tmp_path / "lineage" / files[0].name, load_weights(files[1]), load_facts(files[1]))
    with pytest.raises(ValueError, match=r"holds the model extract_l-resnet-0 .* not victim-resnet-0 .*; delete it"):
        getattr(victim, ask)()


@pytest.mark.parametrize("family", ["../../x", "a/b", "a\\b"])
def test_a_family_with_a_path_in_its_name_is_refused(family, tmp_path):
    with pytest.raises(ValueError, match=r"must have no / or .* in it, unlike .*; rename"):
        lineage(cache=str(tmp_path / "cache"), **TINY | {"networks": {family: RESNET}, "victims": [family]})


def test_killed_while_training_nothing_looks_finished_and_the_rest_is_made(cache, tmp_path):
    script = f"""
from experiments.prepare import prepare
from test_lineage import tiny
prepare(tiny({str(tmp_path)!r}, "victim", "extract_l", "extract_adv", "finetune_a"), workers=1)
"""
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}{os.pathsep}{Path(__file__).parent}"}
    process = subprocess.Popen([sys.executable, "-c", script], env=environment, start_new_session=True)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("lineage/*.safetensors")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    survivors = list(tmp_path.glob("lineage/*.safetensors"))
    assert survivors
    for file in survivors:
        load_weights(file)
    zoo = tiny(tmp_path, "victim", "extract_l", "extract_adv", "finetune_a")
    prepare(zoo, workers=1)
    for name, model in zoo.items():
        first, again = tiny(cache)[name].load().state_dict(), model.load().state_dict()
        assert all(torch.equal(first[key], again[key]) for key in first), name


def test_nobody_trains_on_the_pool_of_reference_points_or_on_what_accuracy_is_measured_on():
    for part in (digits.digits, digits.turned):
        parts = digits.PARTS if part is digits.digits else digits.TURNED_PARTS
        seen = [{image.numpy().tobytes() for image in part(name).inputs} for name, size in parts.items() if size]
        assert sum(map(len, seen)) - len(set.union(*seen)) <= 2  # a few scans are in the data sets twice


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"victims": ["nosuch"]}, "victims must be some of resnet, not 'nosuch'"),
        ({"victims": []}, "victims must be some of resnet, not 'none'"),
        ({"queries": 0}, "queries must be at least 1, not 0"),
        ({"presentations": 95}, "presentations must be at least queries, 96, not 95: a student sees every query once"),
        ({"numbers": TINY["numbers"] | {"held_out": 0}}, "held_out must be at least 1, not 0"),
        ({"images": {"original": 64}}, "images must say how many of original, corrupted, turned, not of original"),
        (
            {"tasks": {"original": digits.digits}},
            "tasks must be the victim's, a corrupted and another one, not original",
        ),
    ],
)
def test_a_zoo_without_what_it_compares_is_refused(given, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        lineage(cache=str(tmp_path), **TINY | given)


@pytest.mark.parametrize(("presentations", "epochs"), [(96, 1), (191, 1), (192, 2), (287, 2)])
def test_a_student_is_shown_whole_epochs_and_no_more_than_is_said(presentations, epochs, tmp_path):
    zoo = lineage(cache=str(tmp_path), **TINY | {"presentations": presentations})
    make = zoo["extract_l-resnet-0"].prepare.args[0].make
    assert make.keywords["attack"].keywords["train"].keywords["epochs"] == epochs


def test_networks_and_images_that_are_not_there_are_refused(tmp_path):
    networks = {"resnet": RESNET | {"network": partial(build, "nosuch", classes=10)}}
    unknown = lineage(cache=str(tmp_path), **TINY | {"networks": networks})["victim-resnet-0"]
    with pytest.raises(ValueError, match=r"timm .* has no network 'nosuch'"):
        unknown.prepare()
    greedy = lineage(cache=str(tmp_path), **TINY | {"images": TINY["images"] | {"original": 5000}})["victim-resnet-0"]
    with pytest.raises(ValueError, match="has 400 images"):
        greedy.prepare()


def test_a_victim_that_is_asked_its_own_images_or_knows_nothing_cannot_be_copied(tmp_path):
    def same(part, size=None):
        return digits.digits("victim", 64) if part in ("victim", "attacker") else digits.digits(part, size)

    tasks = TINY["tasks"] | {"original": same}
    overlapping = lineage(cache=str(tmp_path), **TINY | {"tasks": tasks})["extract_l-resnet-0"]
    with pytest.raises(ValueError, match=r"\d+ of the queries are images that the victim was trained on"):
        overlapping.prepare()
    networks = {"resnet": RESNET | {"train": untrained}}
    ignorant = lineage(cache=str(tmp_path), **TINY | {"networks": networks})["extract_l-resnet-0"]
    with pytest.raises(
        ValueError, match=r"the victim is right on \d+% of the queries, where whoever names the commonest class is on"
    ):
        ignorant.prepare()


def untrained(model, inputs, targets, *, seed, state, after_epoch):
    return model.eval()
