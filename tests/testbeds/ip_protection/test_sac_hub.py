"""SAC's zoo on fabricated files of the published names, keys and layout; nothing is fetched."""

import json
from collections import Counter
from pathlib import Path

import pytest
import safetensors.torch
import torch
from conftest import ROOT
from huggingface_hub import constants
from huggingface_hub.utils import validate_repo_id
from hydra.utils import instantiate
from torch.nn.utils import prune as torch_prune

from experiments.networks.torchvision import NETWORKS, empty
from experiments.prepare import prepare
from experiments.storage.configuration import resolved
from experiments.testbeds.ip_protection.sac_hub.fabricated import fabricate, random_weights, with_masks
from experiments.testbeds.ip_protection.sac_hub.files import Places, masked, weights
from experiments.testbeds.ip_protection.sac_hub.members import members, repository
from experiments.testbeds.ip_protection.sac_hub.zoo import sac_hub

PLACE = ["testbed/zoo=sac_hub"]
COLOURS = resolved(*PLACE)["testbed"]["zoo"]["normalisation"]
ALL = {one.name: one for one in members()}
SUSPECTS = {
    "finetune_a": 10,
    "finetune_l": 10,
    "pruning": 15,
    "extract_l": 20,
    "extract_p": 20,
    "extract_adv": 20,
    "transfer_10c": 10,
    "transfer_a": 5,
    "transfer_l": 5,
    "unrelated_original": 20,
    "unrelated_corrupted": 10,
    "unrelated_turned": 10,
}
BASE = "maurice-fp/SACBenchmark-train.vgg_model.CIFAR10.base"
NAMED = {
    "victim": (BASE, "model/vgg_model.pth"),
    "finetune_a-9": (f"{BASE}-finetune.9", "finetune_10/finetune9.pth"),
    "finetune_l-10": (None, "finetune_10/finetune10.pth"),
    "pruning-0": (f"{BASE}-fineprune.0", "Fine-Pruning/prune_model_0.pth"),
    "pruning-14": (None, "Fine-Pruning/prune_model_14.pth"),
    "extract_l-7": (f"{BASE}-label_extraction.resnet18.7", "model/student_model_1_7.pth"),
    "extract_p-19": (f"{BASE}-probit_extraction.mobilenet_v2.19", "model/student_model_kd_19.pth"),
    "extract_adv-12": (f"{BASE}-adv_label_extraction.densenet121.12", "adv_train/adv_12.pth"),
    "transfer_10c-4": (f"{BASE}-transfer.CIFAR10C.4", "finetune_model/finetune_cifar10c_4.pth"),
    "transfer_a-4": (f"{BASE}-transfer.CIFAR100.4", "finetune_model/finetune_C_4.pth"),
    "transfer_l-5": (f"{BASE}-transfer.CIFAR100.5", "finetune_model/finetune_C_5.pth"),
    "unrelated_original-0": ("maurice-fp/SACBenchmark-train.vgg13.CIFAR10.0", "model/clean_model_0.pth"),
    "unrelated_corrupted-5": (
        "maurice-fp/SACBenchmark-train.resnet18.CIFAR10C.5",
        "finetune_model/CIFAR10C_5.pth",
    ),
    "unrelated_turned-3": (None, "finetune_model/CIFAR1003.pth"),
    "surrogate-3": (None, "model/student_model_tk_3.pth"),
}
PARAMETERS = {
    "vgg13": 128_991_818,
    "vgg13_bn": 128_997_706,
    "vgg16_bn": 134_309_962,
    "vgg19_bn": 139_622_218,
    "resnet18": 11_181_642,
    "resnet34": 21_289_802,
    "densenet121": 6_964_106,
    "mobilenet_v2": 2_236_682,
}


def made(place: Path, **settings):
    """The zoo whose release, cache of Hugging Face and manifest lie in one folder."""
    settings = {"cache": str(place), "root": str(place / "release"), "folder": str(place / "hub")} | settings
    return sac_hub(normalisation=COLOURS, **settings)


def places(place: Path) -> Places:
    return Places(place / "release", place / "hub", place / "sac_hub" / "manifest.json")


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory):
    """A zoo of one model for each role and architecture, with its folder; the files are there."""
    place = tmp_path_factory.mktemp("sac")
    zoo = made(place, dry_run=True)
    assert prepare(zoo, workers=1) == len(zoo)
    return zoo, place / "sac_hub"


def test_there_are_155_suspects_of_one_victim_and_six_surrogates():
    roles = Counter(one.role for one in ALL.values())
    assert roles == SUSPECTS | {"victim": 1, "surrogate": 6}
    assert sum(SUSPECTS.values()) == 155
    assert len({one.place for one in ALL.values()}) == len(ALL) == 162
    four = Counter(vgg13=5, resnet18=5, densenet121=5, mobilenet_v2=5)
    for role in ("extract_l", "extract_p", "extract_adv", "unrelated_original"):
        assert Counter(one.architecture for one in ALL.values() if one.role == role) == four
    others = {one.architecture for one in ALL.values() if one.role.startswith(("finetune", "pruning", "transfer"))}
    assert others == {"vgg16_bn"}
    assert [one.architecture for one in ALL.values() if one.role == "surrogate"] == ["vgg19_bn"] * 3 + ["resnet34"] * 3


@pytest.mark.parametrize("name", NAMED)
def test_a_model_is_uploaded_under_its_lineage_and_has_its_place_in_the_release(name):
    assert (ALL[name].repository, ALL[name].place) == NAMED[name]


def test_131_models_were_uploaded_each_to_a_repository_that_hugging_face_allows():
    names = [one.repository for one in ALL.values() if one.repository]
    assert len(set(names)) == len(names) == 131
    for name in names:
        validate_repo_id(name)
    assert repository("train(resnet18,CIFAR10C,7)") == "maurice-fp/SACBenchmark-train.resnet18.CIFAR10C.7"


def test_the_zoo_has_what_the_published_table_scores_and_fewer_only_if_asked(tmp_path):
    published = Counter(model.role for model in made(tmp_path).values())
    assert published == SUSPECTS | {"victim": 1, "surrogate": 6, "pruning": 10}
    assert Counter(model.role for model in made(tmp_path, pruned=15).values())["pruning"] == 15
    some = Counter(model.role for model in made(tmp_path, complete=False).values())
    assert {role: SUSPECTS[role] - some[role] for role in SUSPECTS if some[role] != SUSPECTS[role]} == {
        "finetune_l": 10,
        "pruning": 5,
        "transfer_a": 5,
        "transfer_l": 5,
        "unrelated_turned": 10,
    }
    assert some["surrogate"] == 0


def test_strangers_that_select_are_as_many_of_each_architecture_and_no_longer_scored(tmp_path):
    zoo = made(tmp_path, independent=2)
    selecting = Counter(model.architecture for model in zoo.values() if model.role == "independent")
    assert selecting == dict.fromkeys(("vgg13", "resnet18", "densenet121", "mobilenet_v2"), 2)
    assert Counter(model.role for model in zoo.values())["unrelated_original"] == 12


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_those_of_torchvision_with_ten_outputs(name):
    network = empty(name, classes=10, mean=[0.5] * 3, std=[0.5] * 3)
    assert sum(parameter.numel() for parameter in network.parameters()) == PARAMETERS[name]
    assert all(parameter.is_meta for parameter in network.parameters())
    with pytest.raises(ValueError, match="there is no network 'vgg11' here; there are vgg13, vgg13_bn, vgg16_bn"):
        empty("vgg11", classes=10, mean=[0.5] * 3, std=[0.5] * 3)


def test_every_role_and_architecture_loads_and_answers_for_ten_classes(rehearsed):
    zoo, _ = rehearsed
    assert {(model.role, model.architecture) for model in zoo.values()} == {
        (one.role, one.architecture) for one in ALL.values()
    }
    images, state = torch.rand(2, 3, 32, 32), torch.get_rng_state()
    for model in zoo.values():
        network = model.load()
        assert network(images).shape == (2, 10)
        assert torch.isfinite(network(images)).all()
        assert not any(part.training for part in network.modules())
        assert not any(parameter.is_meta or parameter.requires_grad for parameter in network.parameters())
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("name", "data"), [("victim", "CIFAR10"), ("transfer_10c-0", "CIFAR10C"), ("unrelated_turned-0", "CIFAR100")]
)
def test_images_in_the_unit_range_are_normalised_as_the_models_own_data(name, data, rehearsed):
    zoo, _ = rehearsed
    network, images = zoo[name].load(), torch.rand(2, 3, 32, 32)
    mean, std = (torch.tensor(COLOURS[data][key]).view(3, 1, 1) for key in ("mean", "std"))
    torch.testing.assert_close(network(images), network[1]((images - mean) / std))
    others = [COLOURS[other]["mean"] for other in COLOURS if other != data]
    assert COLOURS[data]["mean"] not in others


def test_masks_of_pruning_remove_what_they_mask(rehearsed):
    zoo, place = rehearsed
    (file,) = (place / "hub").glob("*fineprune.0/snapshots/*/model.safetensors")
    raw, network = safetensors.torch.load_file(file), zoo["pruning-0"].load()[1]
    assert {"features.0.weight_orig", "features.0.weight_mask"} <= raw.keys()
    assert raw["features.0.weight_orig"][::2].abs().min() > 0
    convolution = network.features[0].weight
    assert convolution[::2].abs().max() == 0
    assert torch.equal(convolution[1::2], raw["features.0.weight_orig"][1::2])


def test_masked_weights_are_those_that_torchs_own_pruning_computes():
    layer = torch_prune.random_unstructured(torch.nn.Linear(6, 4), "weight", 0.5)
    assert torch.equal(masked(layer.state_dict())["weight"], layer.weight)
    plain = random_weights(ALL["extract_p-15"], narrow=1)
    assert all(masked(plain)[key] is tensor for key, tensor in plain.items())
    assert masked(with_masks(plain)).keys() == plain.keys()
    assert masked({"0.weight_orig": torch.ones(1)}).keys() == {"0.weight_orig"}  # without a mask, which is refused


def test_uploads_are_read_from_the_cache_and_the_others_from_the_release(rehearsed):
    zoo, place = rehearsed
    for name in ("extract_l-15", "finetune_l-10"):
        found = zoo[name].load()[1].state_dict()
        expected = random_weights(ALL[name], narrow=8)
        assert all(torch.equal(found[key], expected[key]) for key in expected)
    noted = json.loads((place / "manifest.json").read_text())
    assert len(noted) == len(zoo)
    assert "finetune_10/finetune10.pth" in noted
    assert f"{BASE}-label_extraction.mobilenet_v2.15/model.safetensors" in noted
    assert zoo["victim"].fingerprint() == noted[f"{BASE}/model.safetensors"]


def test_a_model_of_the_release_is_the_same_as_its_upload(tmp_path):
    one, there = ALL["extract_p-15"], places(tmp_path)
    fabricate(one, there, narrow=1)
    uploaded = weights(one, there)
    torch.save(random_weights(one, narrow=1), written(there.root / one.place))
    alone = there._replace(folder=tmp_path / "empty")
    released = weights(one, alone)
    assert all(torch.equal(released[key], uploaded[key]) for key in uploaded)


def test_what_is_missing_is_named_with_what_to_do(tmp_path):
    zoo = made(tmp_path)
    assert not any(model.ready() for model in zoo.values())
    with pytest.raises(FileNotFoundError) as refusal:
        zoo["finetune_a-0"].load()
    assert str(refusal.value) == (
        "1 of 1 files of SAC's zoo are missing: testbed.zoo.download=true fetches 1, such as "
        f"{BASE}-finetune.0, or put {tmp_path}/release/finetune_10/finetune0.pth and the like there"
    )
    with pytest.raises(FileNotFoundError, match=r"alone: put .*/finetune_10/finetune10.pth and .*complete=false"):
        zoo["finetune_l-10"].load()
    with pytest.raises(FileNotFoundError, match=r"/Fine-Pruning/prune_model_0.safetensors and the like"):
        zoo["pruning-0"].load()


def test_before_anything_is_fetched_one_line_says_what_it_will_take(tmp_path, capfd, monkeypatch):
    from experiments.testbeds.ip_protection.sac_hub import cost

    monkeypatch.setattr(cost, "_measured", lambda architecture, *_: (4 * PARAMETERS[architecture], 1e-3))
    with pytest.raises(FileNotFoundError, match=r"^157 of 157 files of SAC's zoo .* fetches 131.*; 26 are in the auth"):
        made(tmp_path)["victim"].prepare()
    said = capfd.readouterr().err
    size = sum(4 * PARAMETERS[one.architecture] for one in ALL.values()) / 1e9 - 5 * 4 * PARAMETERS["vgg16_bn"] / 1e9
    assert f"157 models of {size:.1f} GB, 157 of them ({size:.1f} GB) not here yet" in said
    assert f"about {157 * 512 * 50 * 1e-3 / 3600:.1f} hours on cpu" in said
    assert said.count("\n") == 1
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_fetch_that_fails_names_the_repository_and_the_place_by_hand(tmp_path, monkeypatch):
    from experiments.testbeds.ip_protection.sac_hub import cost

    monkeypatch.setattr(cost, "_measured", lambda *_: (0, 0.0))
    with pytest.raises(
        OSError, match=rf"^cannot fetch {BASE} \(.*\); put {tmp_path}/release/model/vgg_model.pth there"
    ):
        made(tmp_path, complete=False, download=True)["victim"].prepare()


@pytest.fixture
def one(tmp_path):
    """One small model of full size that is there, its file, and the zoo's folder."""
    file = fabricate(ALL["extract_p-15"], places(tmp_path), narrow=1)
    return made(tmp_path)["extract_p-15"], file, tmp_path


def test_a_file_is_noted_at_first_use_and_another_one_in_its_place_refused(one):
    model, file, place = one
    assert not model.ready()
    model.load()
    assert model.ready()
    first, manifest = model.fingerprint(), place / "sac_hub" / "manifest.json"
    assert list(json.loads(manifest.read_text()).values()) == [first]
    safetensors.torch.save_file(random_weights(ALL["extract_p-16"], narrow=1), file)
    with pytest.raises(ValueError, match="is not the file that was used first") as refusal:
        model.load()
    assert first[:12] in str(refusal.value)
    assert "\n" not in str(refusal.value)
    manifest.write_text("{")
    with pytest.raises(ValueError, match=r"manifest.json is damaged; delete it"):
        model.load()


@pytest.mark.parametrize("damage", [lambda content: content[:1000], lambda content: b"<html>" + content])
def test_a_damaged_file_ends_in_one_line(damage, one):
    model, file, _ = one
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ValueError, match=r"model.safetensors is damaged or holds something else than tensors"):
        model.load()


def test_weights_of_another_network_are_named(one):
    model, file, _ = one
    safetensors.torch.save_file(random_weights(ALL["extract_p-10"], narrow=1), file)
    with pytest.raises(ValueError, match="does not hold a mobilenet_v2 of 10 classes"):
        model.load()


class Intruder:
    """Makes a file when it is unpickled."""

    def __init__(self, file: Path):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


def test_code_in_a_file_of_the_release_is_not_run_and_whole_networks_are_not_opened(tmp_path):
    there, mark = places(tmp_path), tmp_path / "ran"
    for name, hidden in {"finetune_l-10": Intruder(mark), "pruning-0": torch.nn.Linear(2, 2)}.items():
        torch.save(hidden, written(there.root / ALL[name].place))
    with pytest.raises(ValueError, match="something else than tensors, which is not opened"):
        weights(ALL["finetune_l-10"], there)
    with pytest.raises(FileNotFoundError, match="fineprune"):
        weights(ALL["pruning-0"], there)
    assert not mark.exists()
    torch.save(torch.ones(2), written(there.root / ALL["finetune_l-11"].place))
    with pytest.raises(ValueError, match=r"finetune11.pth holds no weights"):
        weights(ALL["finetune_l-11"], there)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"pruned": 16}, "pruned must lie between 1 and 15"),
        ({"pruned": 11, "complete": False}, "pruned must lie between 1 and 10"),
        ({"independent": 5}, "independent must lie between 1 and 4"),
        (
            {"normalisation": {"CIFAR10": COLOURS["CIFAR10"]}},
            "normalisation must be of CIFAR10, CIFAR100, CIFAR10C, no",
        ),
    ],
)
def test_settings_beyond_what_there_is_are_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        sac_hub(**{"cache": "c", "root": "r", "normalisation": COLOURS} | settings)


def test_the_testbed_scores_150_suspects_and_calibrates_nothing(config, tmp_path):
    settings = config(*PLACE, f"cache={tmp_path}")["testbed"]
    settings["samples"]["dry_run"] = True
    testbed = instantiate(settings, _convert_="all")
    assert len(testbed.pairs()) == 150
    assert not any(role.startswith("held_out") for role in testbed.tested_roles)
    six = config(*PLACE, "testbed/attacks=uploaded", "testbed.zoo.complete=false", f"cache={tmp_path}")["testbed"]
    six["samples"]["dry_run"] = True
    assert len(instantiate(six, _convert_="all").pairs()) == 120


@pytest.mark.slow
def test_a_dry_run_needs_no_files_and_scores_every_attack(command):
    done = command(str(ROOT / "run.py"), *PLACE, "dry_run=true", "method=gradient_x_input", "workers=1")
    assert done.returncode == 0, done.stderr
    for attack in [role for role in SUSPECTS if not role.startswith("unrelated")]:
        assert f"auc/{attack}: " in done.stdout
    assert "auc_by_task" not in done.stdout
    assert "everything fits together" in done.stdout
    assert f"{len({(one.role, one.architecture) for one in ALL.values()})} models of" in done.stderr


def written(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    return file
