"""The library's function: a table of one's own models, which are left as they are."""

import copy
import re
from dataclasses import replace

import pandas as pd
import pytest
import timm
import torch
from conftest import ROOT
from hydra.utils import instantiate
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from experiments import compare
from experiments.interfaces import Samples
from experiments.measure import measure
from experiments.storage import configuration
from experiments.storage.identity import fingerprint
from experiments.storage.tables import as_written
from experiments.testbeds.pairwise import toy

IMAGES = torch.rand(10, 1, 8, 8, generator=torch.Generator().manual_seed(0))
MODELS = {
    "mine": toy.small(),
    "suspect": toy.small_copied(),
    "stranger": toy.small_stranger(),
    "five": toy.small_other(),
}
PROGRAM = """
import hydra, torch
from hydra.core.global_hydra import GlobalHydra
from experiments import compare
from experiments.storage.configuration import part
from experiments.testbeds.pairwise import toy

@hydra.main(version_base="1.3", config_path=".", config_name="config")
def main(cfg):
    before = GlobalHydra.instance().hydra
    compare({"a": toy.small(), "b": toy.small()}, torch.rand(3, 1, 8, 8), methods=["agreement"], nulls=False)
    label = part("method", "modelgif")["label"].lower()
    print(GlobalHydra.instance().hydra is before, label, cfg.mine)

main()
"""
QUICK = {"methods": ["agreement", "cka_debiased"], "nulls": False}


def test_three_lines_give_a_table_of_every_two_models_with_the_images_that_were_shown():
    table = compare(MODELS, IMAGES, **QUICK)
    assert table.columns.get_level_values("method").unique().tolist() == QUICK["methods"]
    assert table.index[0] == ("mine", "suspect")
    assert len(table) == 6
    assert table.loc[("five", "mine"), ("agreement", "n/a")] == "5 and 10 classes"
    assert table["cka_debiased", "distance"].notna().all()
    assert len(set(table.attrs["images"])) == 10
    assert table.attrs["models"].keys() == MODELS.keys()


def test_models_of_one_output_have_no_classes_to_agree_on():
    torch.manual_seed(0)
    one, other = (nn.Sequential(nn.Flatten(), nn.Linear(64, 1)) for _ in range(2))
    methods = ["agreement", "jsd", "cka_debiased"]
    table = compare({"one": one, "other": other, "ten": toy.small()}, IMAGES, methods=methods, nulls=False)
    for method in methods[:2]:
        assert set(table[method, "n/a"]) == {"one output is no set of classes"}
        assert table[method, "distance"].isna().all()
    assert table["cka_debiased", "distance"].notna().all()


class Wrapped(nn.Module):
    """Answers with what `answer` makes of a network's logits."""

    def __init__(self, answer):
        super().__init__()
        self.network, self.answer = toy.small(), answer

    def forward(self, inputs):
        return self.answer(self.network(inputs))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda logits: {"logits": logits}, "other: the model answers with a dict, where a tensor is needed"),
        (lambda logits: logits.softmax(1), "other answers with probabilities, where logits are compared"),
    ],
)
def test_what_is_no_answer_of_logits_is_refused_by_name(answer, said):
    with pytest.raises(ValueError, match=said):
        compare({"mine": MODELS["mine"], "other": Wrapped(answer)}, IMAGES, **QUICK)


def test_a_wrong_method_is_refused_before_the_first_is_measured(monkeypatch):
    monkeypatch.setattr("experiments.testbeds.pairwise.compare.measure", lambda *_, **__: 1 / 0)
    with pytest.raises(ValueError, match="AKH needs labelled samples"):
        compare(MODELS, IMAGES, methods=["agreement", "akh"])
    with pytest.raises(ValueError, match="there is no method 'queries/random_samples'"):
        compare(MODELS, IMAGES, methods=["agreement", "queries/random_samples"])


def test_a_module_of_timms_is_shown_what_its_name_would_be(tmp_path):
    network = timm.create_model("test_resnet").eval()
    save_file(network.state_dict(), file := tmp_path / "mine.safetensors")
    colours = torch.rand(4, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    models = {"module": network, "text": f"{file}@timm:test_resnet"}
    table = compare(models, colours, methods=["modelgif"], nulls=False)
    assert table.loc[("module", "text"), ("modelgif", "distance")] == pytest.approx(0, abs=1e-6)


class Constant(nn.Module):
    """Answers the same whatever it is shown."""

    def forward(self, inputs):
        return torch.arange(10.0).expand(len(inputs), 10)


def test_a_model_that_ignores_its_input_has_no_field_and_spoils_no_other_pair():
    models = {name: MODELS[name] for name in ("mine", "suspect")} | {"constant": Constant()}
    table = compare(models, IMAGES, methods=["modelgif", "agreement"], nulls=False)
    assert table["modelgif", "distance"].notna().tolist() == [True, False, False]
    assert table.loc[("constant", "mine"), ("modelgif", "n/a")].startswith("no image is alive")
    assert table["agreement", "distance"].notna().all()
    assert set(table["agreement", "n/a"]) == {""}


def test_a_method_that_finds_no_two_models_alive_leaves_the_others_numbers():
    table = compare({"one": Constant(), "other": Constant()}, IMAGES, methods={"agreement", "modelgif"}, nulls=False)
    assert table["agreement", "distance"].tolist() == [0]
    assert table.loc[("one", "other"), ("modelgif", "n/a")].startswith("no image is alive")


@pytest.mark.filterwarnings("ignore:.*weight_norm")
def test_a_network_that_computes_its_weights_anew_is_compared_and_has_a_twin():
    normed = nn.Sequential(nn.utils.weight_norm(nn.Conv2d(1, 4, 3)), nn.Flatten(), nn.Linear(144, 10))
    table = compare({"mine": MODELS["mine"], "normed": normed}, IMAGES, methods=["jsd"])["jsd"]
    assert table[["distance", "first_twin", "second_twin"]].gt(0).all(axis=None)


def test_values_are_those_of_a_run():
    words = [f"experiments.testbeds.pairwise.toy:{name}" for name in ("small", "small_copied", "small_stranger")]
    toy_run = ["testbed=pairwise", "testbed/zoo=pairwise_toy", "testbed/samples=toy", "testbed.zoo.nulls=true"]
    config = configuration.resolved(*toy_run, f"testbed.zoo.models=[{','.join(words)}]", "testbed.budget=10")
    testbed = replace(instantiate(config["testbed"], _convert_="all"), samples=Samples(IMAGES))
    method = instantiate(config["method"], _convert_="all")
    distances, _ = measure(testbed, method, torch.device("cpu"), chunk=config["chunk"], memory_gb=config["memory_gb"])
    pairs = testbed.score(as_written(distances)).matrices["pairs"]
    table = compare(words, IMAGES, methods=["modelgif"])["modelgif"]
    pd.testing.assert_frame_equal(table[[*pairs]], pairs, check_names=False, rtol=0, atol=0)


@pytest.mark.parametrize("precision", [torch.float64, torch.float16, torch.bfloat16])
def test_a_model_is_shown_images_in_its_own_precision(precision):
    models = {"mine": MODELS["mine"], "halved": copy.deepcopy(MODELS["mine"]).to(precision)}
    table = compare(models, IMAGES, nulls=False)
    distances = table.xs("distance", axis=1, level="value").iloc[0]
    assert distances.index.tolist() == ["modelgif", "agreement", "jsd", "cka_debiased"]
    assert (distances.abs() < 0.02).all()


def test_a_distance_that_is_exactly_zero_has_an_interval_of_no_width_beside_others():
    table = compare({**MODELS, "again": copy.deepcopy(MODELS["mine"])}, IMAGES, methods=["modelgif"], nulls=False)
    assert table.loc[("again", "mine"), "modelgif"][["distance", "low", "high"]].tolist() == [0, 0, 0]


def test_an_encoder_among_classifiers_leaves_their_distances():
    encoder = nn.Sequential(nn.Conv2d(1, 8, 3), nn.Tanh())
    models = {"a": toy.small(), "b": toy.small_copied(), "encoder": encoder}
    table = compare(models, IMAGES, methods=["modelgif"], nulls=False)["modelgif"]
    assert table["distance"].notna().to_dict() == {("a", "b"): True, ("a", "encoder"): False, ("b", "encoder"): False}
    why = "answers of 8x6x6 are no classes, which predicted_class follows; channel_peaks takes them"
    assert table["n/a"].tolist() == ["", why, why]


def test_the_images_that_are_named_are_those_that_were_shown_and_give_the_same_numbers():
    table = compare(MODELS, IMAGES, methods=["modelgif", "agreement"], nulls=False, max_images=4)
    assert len(table.attrs["images"]) == 4
    again = compare(MODELS, IMAGES.flip(0), **QUICK, max_images=4)
    assert all(table.attrs[what] == again.attrs[what] for what in ("images", "models"))
    shown = torch.stack([image for image in IMAGES if fingerprint(image) in table.attrs["images"]])
    assert table.equals(compare(MODELS, shown, methods=["modelgif", "agreement"], nulls=False))


def test_a_program_that_hydra_runs_on_its_own_folder_may_compare(command, tmp_path):
    (tmp_path / "config.yaml").write_text("mine: 1")
    (tmp_path / "program.py").write_text(PROGRAM)
    done = command("program.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True", "modelgif", "1"]


def test_the_order_of_models_and_images_changes_nothing():
    table = compare(MODELS, IMAGES, **QUICK)
    again = compare(dict(reversed(MODELS.items())), IMAGES.flip(0), **QUICK)
    assert table.equals(again)
    assert table.attrs == again.attrs


def test_models_are_left_as_they_were():
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 10)).train()
    before = copy.deepcopy(model.state_dict())
    compare({"a": model, "b": toy.small()}, IMAGES, **QUICK)
    assert model.training
    assert not model._forward_pre_hooks
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_a_model_against_its_copy_is_zero_and_strangers_give_verdicts():
    strangers = {f"s{seed}": toy._classifier(seed, 10) for seed in range(10, 14)}
    models = {"mine": toy.small(), "same": toy.small(), "other": toy.small_stranger(), **strangers}
    table = compare(models, IMAGES, methods=["modelgif"], strangers=["s1*"], nulls=False)["modelgif"]
    assert table.loc[("mine", "same"), "distance"] == pytest.approx(0, abs=1e-6)
    assert table.loc[("mine", "same"), "verdict"] == "derived"
    assert table.loc[("mine", "other"), "verdict"] == "not told apart"
    assert table["verdict"].notna().sum() == 3


def test_texts_and_a_folder_of_photographs_will_do(tmp_path):
    for number in range(5):
        Image.new("RGB", (40, 50), (40 * number, 9, 200)).save(tmp_path / f"{number}.png")
    table = compare(["timm:test_resnet", "timm:test_vit"], tmp_path, methods=["jsd"], nulls=False, size=32)
    assert table.index.tolist() == [("timm:test_resnet", "timm:test_vit")]
    assert len(table.attrs["images"]) == 5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (({"a": toy.small()}, IMAGES), "at least two models"),
        (([toy.small(), toy.small()], IMAGES), r"models must have names, .* not a list with a Sequential"),
        ((toy.small(), IMAGES), r"models must have names, .* not Sequential"),
        (("timm:test_vit", IMAGES), r"models must have names, .* not 'timm:test_vit'"),
        (({0: toy.small(), 1: toy.small()}, IMAGES), "models must have texts for names, not 0; take '0'"),
        ((["timm:test_vit", "timm:test_vit", "timm:test_resnet"], IMAGES), "models name timm:test_vit twice"),
        (({"a": toy.small(), "a (new weights)": toy.small()}, IMAGES), r"no model may be named 'a \(new weights\)'"),
        ((MODELS, IMAGES.numpy()), r"images must be a tensor .* not ndarray; torch.from_numpy"),
        (({"a": toy.small(), "b": 3}, IMAGES), "b must be a torch.nn.Module, or a text that names one, not int"),
        ((MODELS, 255 * IMAGES), r"values in \[0, 1\]"),
        ((MODELS, "nowhere"), "there is no folder nowhere"),
        ((["timm:resnet81", "timm:resnet18"], IMAGES), "did you mean resnet18"),
    ],
)
def test_mistakes_end_in_one_line(arguments, said):
    with pytest.raises(ValueError, match=said):
        compare(*arguments, **QUICK)


@pytest.mark.parametrize("what", ["methods", "strangers"])
def test_one_name_is_no_list_of_letters(what):
    with pytest.raises(ValueError, match=rf"{what} must be a list of names, not the text 'jsd'; take \['jsd'\]"):
        compare(MODELS, IMAGES, **{what: "jsd"})


def test_no_images_at_all_are_refused():
    with pytest.raises(ValueError, match="max_images must be at least 1, not 0"):
        compare(MODELS, IMAGES, **QUICK, max_images=0)


def test_a_method_that_is_none_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="there is no method 'modelgiff'; did you mean modelgif"):
        compare(MODELS, IMAGES, methods=["modelgiff"])


def test_the_python_of_the_documentation_runs():
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "compare.md").read_text(), flags=re.DOTALL)
    names = {}
    exec(code, names)
    assert len(names["table"]) == 1
