"""Whatever is wrong in a configuration ends at the door: in one line, before any work, with nothing written."""

import re
import sys

import pytest
import yaml
from conftest import ROOT, TOY
from omegaconf import OmegaConf

import run
from experiments import embed, prepare
from experiments.commands.door import KEYS, admitted, enter, refuse_overrides
from experiments.commands.refusal import Refused
from experiments.storage import identity
from experiments.storage.configuration import composed, plain

QUICK = [*TOY, "wandb=disabled"]
CIFAR = ["testbed=unlearning", "testbed/zoo=unlearning_cifar10"]
FORGETTING = ["testbed=unlearning", "testbed/zoo=toy_forgetting"]
DDS = ["method=dds_cosine"]
ACCESS = "architecture, label, probability, logit, input-gradient, feature, weights"
KERNELS = (
    "hose of experiments.methods.features.dds are linear, rbf, laplacian, pearson, euclidean, cosine; name another by"
)
REFUSED = {
    "testbed.budget=true": "testbed.budget must be a valid integer, not true",
    "testbed.budget=8.0": "testbed.budget must be a valid integer, not 8.0",
    "testbed.budget=null": "testbed.budget must be a valid integer, not null",
    "testbed.budget=abc": "testbed.budget must be a valid integer, not 'abc'",
    "~testbed.budget": "testbed: IPProtection lacks its setting 'budget'",
    "seed=1.5": "seed must be a valid integer, not 1.5",
    "seed=1e3": "seed must be a valid integer, not 1000.0",
    "seed=abc": "seed must be a valid integer, not 'abc'",
    "seed=???": "seed is missing",
    "chunk=0": "chunk must be greater than or equal to 1, not 0",
    "chunk=-5": "chunk must be greater than or equal to 1, not -5",
    "chunk=nan": "chunk must be a valid integer, not NaN",
    "chunk=abc": "chunk must be a valid integer, not 'abc'",
    "memory_gb=0": "memory_gb must be greater than 0, not 0",
    "memory_gb=inf": "memory_gb must be a finite number, not Infinity",
    "workers=0": "workers must be greater than or equal to 1, not 0",
    "shards=0": "shards must be greater than or equal to 1, not 0",
    "rerun=maybe": "rerun must be a valid boolean, not 'maybe'",
    "dry_run=1": "dry_run must be a valid boolean, not 1",
    ("testbed/zoo=sac_hub", "testbed.zoo.dry_run=true"): "testbed.zoo.dry_run=true is of one part: set dry_run",
    "device=null": "device must be a valid string, not null",
    "results=''": "results must have at least 1 character, not ''",
    "~results": "results is missing",
    "~method": "method is missing",
    "wandb.mode=disable": "wandb.mode cannot be 'disable'; did you mean disabled? It may be online, offline, disabled",
    "pictures.roc=nosuch": "there is no function 'nosuch'",
    "+wandb.entity=me": "wandb has no setting 'entity'; it has mode, project",
    "+budget=64": "there is no key 'budget'; did you mean testbed.budget? Otherwise the keys are name, seed, device",
    "+steps=4": "there is no key 'steps'; did you mean method.represent.steps?",
    "+sead=4": "there is no key 'sead'; did you mean seed",
    "+nosuch=4": "there is no key 'nosuch'; the keys are name, seed, device",
    "method.access=abc": f"method.access cannot be 'abc'; it may be {ACCESS}",
    "method.access=lable": f"method.access cannot be 'lable'; did you mean label? It may be {ACCESS}",
    "method.represent.steps=abc": "method.represent.steps must be a valid integer or null, not 'abc'",
    "method.represent.cumulative=maybe": "method.represent.cumulative must be a valid boolean, not 'maybe'",
    "+method.represent.stesp=3": "method.represent: extract_field has no setting 'stesp'; did you mean steps? It",
    "method.distance=cosine": "method.distance must be a function, not 'cosine'; name it by method.distance._target_=",
    "method.distance._target_=null": "method.distance._target_ must be a valid string, not null",
    "method.distance._target_=nosuch": "method.distance._target_: there is no function 'nosuch'",
    "method.distance._partial_=no": "method.distance: cosine lacks its setting 'a'",
    "+testbed._partial_=true": "testbed is no function, so leave out testbed._partial_",
    "+method.roles.far=surrogate": "method.roles.far must be a list, not 'surrogate'",
    "method.represent.steps=${nosuch}": "Interpolation key 'nosuch' not found",
    "testbed.zoo.copies=1.5": "testbed.zoo.copies must be a valid integer, not 1.5",
    "testbed.zoo.noise=abc": "testbed.zoo.noise must be a valid number, not 'abc'",
    "testbed.zoo.derived=finetune_a": "testbed.zoo.derived must be a list, not 'finetune_a'",
    "testbed.samples=abc": "testbed.samples must be made by a _target_ (Samples), not 'abc'",
    (*DDS, "method.distance.kernel=laplacain"): f"not 'laplacain'; did you mean laplacian? T{KERNELS}",
    (*DDS, "method.distance.kernel=z_norm"): f"method.distance.kernel must be a function, not 'z_norm'; t{KERNELS}",
    (
        "method=modelgif/sketch",
        "method.represent.steps=abc",
    ): "method.represent.steps must be a valid integer, not 'abc'",
    ("method=modelgif/sketch", "+method.represent.setps=4"): "embed has no setting 'setps'; did you mean steps? It has",
    (
        "method=modelgif/separating",
        "method.roles.far=[held_out_orignal]",
    ): "did you mean held_out_original? The roles are",
    (
        "testbed/zoo=mini",
        "testbed.zoo.networks.levit.train.rate=fast",
    ): "levit.train.rate must be a valid number, not 'fast'",
    (
        *FORGETTING,
        "testbed.kept=[unrelatde]",
    ): "testbed.kept: no model that is scored has the role 'unrelatde'; did you",
    (*FORGETTING, "testbed.aside=[reference]"): "testbed.aside: no model that is scored has the role 'reference'",
    (*FORGETTING, "testbed.kept=[retrain]"): "the role 'retrain' cannot be both in testbed.forgotten and testbed.kept",
    (*FORGETTING, "testbed.forgotten=[]"): "testbed.forgotten names no model of the zoo",
    (*CIFAR, "testbed.zoo.pools.label=abc"): "testbed.zoo.pools.label must be a valid integer or null, not 'abc'",
    (*CIFAR, "testbed.zoo.repelled.fake_repel.epochs=x"): "fake_repel.epochs must be a valid integer, not 'x'",
    (*CIFAR, "testbed.zoo.unlearners.ssd.quick.alpha=x"): "unlearners.ssd.alpha must be a valid number, not 'x'",
    (*CIFAR, "+testbed.zoo.unlearners.ssd.quick.alhpa=1"): "ssd has no setting 'alhpa'; did you mean alpha? It has",
}


def overrides(case):
    return [*([] if case[0] in (CIFAR[0], FORGETTING[0]) else QUICK), *([case] if isinstance(case, str) else case)]


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_what_is_wrong_ends_in_one_line_with_key_value_and_what_is_allowed_and_nothing_is_written(
    case, tmp_path, monkeypatch
):
    config = composed(*overrides(case))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Refused) as refusal:
        run.main(config)
    said = str(refusal.value)
    assert REFUSED[case] in said
    assert said.startswith("error: ")
    assert "\n" not in said
    assert {file.name for file in tmp_path.rglob("*.json")} <= {"failed.json"}


@pytest.mark.parametrize(
    ("case", "key", "value"),
    [
        ("rerun=no", "rerun", False),
        ("rerun=Yes", "rerun", True),
        ("dry_run=off", "dry_run", False),
        ("dry_run=on", "dry_run", True),
        ("method.represent.cumulative=no", "method.represent.cumulative", False),
        ("+method.leak=off", "method.leak", False),
        ("memory_gb=8", "memory_gb", 8),
        ("method.pairwise=null", "method.pairwise", None),
    ],
)
def test_words_mean_what_they_say(case, key, value):
    found = OmegaConf.select(OmegaConf.create(admitted(composed(*QUICK, case))), key)
    assert found is value or (found == value and type(found) is type(value))


def test_a_bare_name_of_a_function_is_that_of_the_module_whose_function_takes_it():
    named = admitted(composed(*QUICK, *DDS, "method.distance.kernel=laplacian"))
    assert identity.run(named) == identity.run(plain(composed(*QUICK, "method=dds_laplacian")))
    spelt = composed(*QUICK, *DDS, "method.distance.kernel._target_=experiments.methods.features.dds.laplacian")
    assert identity.run(named) == identity.run(admitted(spelt))


@pytest.mark.parametrize("main", [prepare.main, embed.main])
def test_the_other_programs_have_the_same_door(main, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for case in ("shards=0", "+budget=64", "method.access=abc"):
        with pytest.raises(Refused, match=r"^error: ") as refusal:
            main(composed(*QUICK, case))
        assert REFUSED[case] in str(refusal.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["method=null"], "method has no option 'null'; it has activation_distance, adv_tra, agreement"),
        (["method=5"], "method has no option '5'; it has"),
        (
            ["testbed=unlerning"],
            "did you mean unlearning? It has ip_protection, pairwise, task_relatedness, unlearning",
        ),
        (["testbed/zoo=mimi"], "'mimi'; did you mean mini? It has demo, lineage_cifar10, lineage_hard"),
        (["seed=0,1", "method=akh,'zset'"], "method has no option 'zset'; did you mean zest? It has"),
        (["-m", "seed=0,1", "results="], "results must have at least 1 character, not ''"),
        (["-m", "seed=0,abc"], "seed must be a valid integer, not 'abc'"),
        (["method=[akh,zest]"], "method is one option, not 2; -m method=one,other runs one after another"),
    ],
)
def test_what_no_command_line_can_mean_is_refused_before_hydra_starts_a_sweep(words, said, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["run.py", *words])
    with pytest.raises(SystemExit) as refusal:
        enter(lambda: pytest.fail("nothing is to be started"))
    assert said in refusal.value.code


def test_what_a_group_has_and_what_hydra_looks_up_itself_passes():
    refuse_overrides(["method=modelgif/sketch,akh", "method=glob(mia*)", "testbed/zoo=${oc.env:ZOO}"])
    refuse_overrides(["hydra/launcher=joblib", "~method", "seed=range(3)", "testbed.budget=64", "method={label: a}"])


def test_help_explains_every_key_and_shows_commands_that_compose():
    template = yaml.safe_load((ROOT / "conf/hydra/help/keys.yaml").read_text())["template"]
    explained = re.findall(r"^  (\w+) {2,}\S", template, flags=re.MULTILINE)
    assert sorted(explained) == sorted([*KEYS, "experiment"])
    assert set(KEYS) == set(composed())
    commands = re.findall(r"^  python run\.py (.*=.*\w)$", template, flags=re.MULTILINE)
    assert len(commands) == 4
    for command in commands:
        words = [word.split(",")[0] for word in command.split() if word != "-m" and not word.startswith("hydra/")]
        assert admitted(composed(*words))
