"""The published encoders, on fabricated files with their keys and shapes."""

import hashlib
import io
import json
from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations_with_replacement
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from PIL import Image

import run
from experiments.interfaces import Method, Samples
from experiments.measure import measure
from experiments.prepare import prepare
from experiments.queries.paths import paths
from experiments.queries.samples import random_samples
from experiments.queries.starts import mid_grey
from experiments.storage.configuration import composed
from experiments.testbeds.task_relatedness.taskonomy import encoder, taskonomy
from experiments.testbeds.task_relatedness.tasks import TASKS
from modelgif_core import Paths, cosine, extract_field, pairwise_cosine
from modelgif_core.readout import channel_peaks
from modelgif_core.view import colour_mean


class Intruder:
    """Makes a file when it is unpickled."""

    def __init__(self, file: Path):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two encoders with random weights and statistics, one of them in the format of PyTorch before 1.6."""
    root = tmp_path_factory.mktemp("taskonomy")
    for seed, task in enumerate(["normal", "room_layout"]):
        write(root, task, {"state_dict": random_weights(seed), "epoch": 3}, legacy=bool(seed))
    return root


@pytest.fixture(scope="module")
def zoo(folder):
    names = {file.name.split("_encoder-")[0]: file.name for file in folder.glob("*.pth")}
    return made(folder, names, normalised=["room_layout"])


def test_the_zoo_has_the_17_tasks_in_the_published_order(config):
    settings = config("testbed/zoo=taskonomy")["testbed"]["zoo"]
    zoo = instantiate(settings, _convert_="all")
    assert tuple(zoo) == TASKS
    assert {model.role for model in zoo.values()} == {"encoder"}
    assert len(set(settings["files"].values())) == 17
    assert all(len(name.split("-")[1]) == 64 + len(".pth") for name in settings["files"].values())
    assert not any(model.ready() for model in zoo.values()) or Path(settings["root"]).is_dir()


@pytest.mark.parametrize("size", [32, 64])
def test_features_have_eight_channels_at_a_sixteenth_of_the_resolution(zoo, size):
    features = zoo["normal"].load()(torch.rand(2, 3, size, size))
    assert features.shape == (2, 8, size // 16, size // 16)
    assert features.min() >= 0


def test_images_in_the_unit_range_are_shown_as_the_published_range(zoo):
    network = encoder(normalise=False).eval()
    network.load_state_dict(random_weights(0))
    images = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(zoo["normal"].load()(images), network(2 * images - 1))


def test_normalised_features_have_mean_zero_and_variance_one_in_every_channel_of_every_image(zoo, folder):
    images = torch.rand(2, 3, 64, 64)
    plain = made(folder, {"room_layout": next(folder.glob("room*")).name})["room_layout"].load()(images).flatten(2)
    spread = (plain.var(2, correction=0, keepdim=True) + 1e-5).sqrt()
    expected = (plain - plain.mean(2, keepdim=True)) / spread
    torch.testing.assert_close(zoo["room_layout"].load()(images).flatten(2), expected, rtol=1e-4, atol=1e-4)


def test_loading_is_repeatable_draws_nothing_and_gives_a_model_at_rest(zoo):
    state = torch.get_rng_state()
    first, again = (zoo["normal"].load() for _ in range(2))
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in first.state_dict().items())
    assert not any(module.training for module in first.modules())
    assert not any(parameter.is_meta or parameter.requires_grad for parameter in first.parameters())


def test_a_field_of_an_encoder_is_complete_up_to_quadrature(zoo):
    torch.manual_seed(0)
    model, end = zoo["normal"].load(), torch.rand(1, 3, 32, 32)
    paths = Paths(end + 0.01 * torch.randn(end.shape), end)
    field = extract_field(model, paths, steps=16, readout=channel_peaks, view=colour_mean)
    follow = channel_peaks(model(end))
    gain = (follow * (model(end) - model(paths.starts))).sum()
    assert field.shape == (1, 16, 32 * 32)
    assert 3 * field[0, -1].sum() == pytest.approx(gain.item(), rel=0.05)


@dataclass(frozen=True)
class Place:
    """Encoders, compared as asked."""

    zoo: dict
    compared: list
    samples: Samples
    budget: int = 64
    tested_roles: frozenset = frozenset()
    offers: frozenset = frozenset()

    def pairs(self):
        return self.compared


@pytest.mark.parametrize(
    "compared", [[("normal", "room_layout")], list(combinations_with_replacement(["normal", "room_layout"], 2))]
)
def test_over_64_images_in_chunks_each_encoders_file_is_opened_once(compared, zoo):
    opened = []

    def load(model):
        opened.append(model.name)
        return model.load()

    watched = {name: replace(model, load=partial(load, model)) for name, model in zoo.items()}
    images = torch.rand(64, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    method = Method(
        partial(paths, choose=partial(random_samples, seed=0), start=mid_grey),
        partial(extract_field, steps=2, readout=channel_peaks, view=colour_mean),
        cosine,
        "input-gradient",
        steps=2,
        pairwise=pairwise_cosine,
    )
    table, cost = measure(Place(watched, compared, Samples(images)), method, torch.device("cpu"), chunk=1)
    assert sorted(opened) == ["normal", "room_layout"]
    assert table.shape == (len(compared), 64)
    assert cost["cost/gradient_per_model"] == 64 * 2


@pytest.mark.parametrize("harm", ["truncated", "one byte changed", "empty", "another task's"])
def test_a_file_that_is_not_the_one_in_its_name_is_refused(harm, zoo, folder, tmp_path):
    original, other = sorted(folder.glob("*.pth"))
    content = bytearray(original.read_bytes())
    content[len(content) // 2] ^= 1
    harmed = {"truncated": content[:1000], "empty": b"", "another task's": other.read_bytes()}.get(harm, content)
    (tmp_path / original.name).write_bytes(harmed)
    with pytest.raises(ValueError, match=r"is damaged.*delete it"):
        made(tmp_path, {"normal": original.name})["normal"].load()


def test_an_object_in_a_file_is_refused_and_not_run(tmp_path):
    trace = tmp_path / "trace"
    name = write(tmp_path, "normal", {"state_dict": Intruder(trace)})
    with pytest.raises(ValueError, match="something else than tensors"):
        made(tmp_path, {"normal": name})["normal"].load()
    assert not trace.exists()


@pytest.mark.parametrize("content", [b"", b"no tensors in here", b"\x80\x02}q\x00."])
def test_bytes_that_are_no_checkpoint_are_refused(content, tmp_path):
    name = f"normal_encoder-{hashlib.sha256(content).hexdigest()}.pth"
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name} is damaged or holds something else|has no entry"):
        made(tmp_path, {"normal": name})["normal"].load()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weights: weights.pop("layer3.5.conv3.weight"), r"layer3\.5\.conv3\.weight is missing \(1 such"),
        (lambda weights: weights.update(fc=torch.zeros(3)), r"fc is unknown \(1 such"),
        (lambda weights: weights.update({"compress1.weight": torch.zeros(4, 2048, 3, 3)}), "mismatch for compress1.w"),
        (lambda weights: weights.clear(), r"conv1\.weight is missing \(\d\d\d such"),
    ],
)
def test_keys_and_shapes_are_held_strictly_and_the_first_culprit_is_named(change, message, tmp_path):
    weights = hollow_weights()
    change(weights)
    name = write(tmp_path, "normal", {"state_dict": weights})
    with pytest.raises(ValueError, match=f"does not hold a Taskonomy encoder: .*{message}"):
        made(tmp_path, {"normal": name})["normal"].load()


def test_weights_without_their_entry_are_refused(tmp_path):
    for content in (hollow_weights(), {"state_dict": [1, 2]}, torch.zeros(2)):
        name = write(tmp_path, "normal", content)
        with pytest.raises(ValueError, match="no entry 'state_dict'"):
            made(tmp_path, {"normal": name})["normal"].load()


def test_files_older_than_batch_counters_load(tmp_path):
    weights = {key: value for key, value in hollow_weights().items() if "num_batches" not in key}
    name = write(tmp_path, "normal", {"state_dict": weights})
    assert made(tmp_path, {"normal": name})["normal"].load()(torch.zeros(1, 3, 32, 32)).shape == (1, 8, 2, 2)


def test_a_missing_file_is_fetched_once_and_verified(folder, tmp_path):
    name = next(folder.glob("normal*")).name
    zoo = made(tmp_path / "new", {"normal": name}, url=folder.as_uri())
    assert not zoo["normal"].ready()
    with pytest.raises(FileNotFoundError, match=r"is missing; .*experiments\.prepare"):
        zoo["normal"].load()
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / f"{name}.0.partial").touch()
    zoo["normal"].prepare()
    assert zoo["normal"].ready()
    assert [file.name for file in (tmp_path / "new").glob("*.p*")] == [name]
    zoo["normal"].load()
    made(tmp_path / "new", {"normal": name}, url="file:///nowhere")["normal"].prepare()


def test_a_fetch_that_fails_says_what_to_put_where(tmp_path):
    name = f"normal_encoder-{'0' * 64}.pth"
    zoo = made(tmp_path / "new", {"normal": name}, url=tmp_path.as_uri())
    with pytest.raises(OSError, match=rf"cannot fetch {name} from file.*put it into .*new by hand"):
        prepare(zoo, workers=1)


def test_a_fetched_file_that_is_not_the_published_one_is_thrown_away(tmp_path):
    name = f"normal_encoder-{'0' * 64}.pth"
    (tmp_path / name).write_bytes(b"an error page")
    zoo = made(tmp_path / "new", {"normal": name}, url=tmp_path.as_uri())
    with pytest.raises(OSError, match=rf"cannot fetch {name}.*invalid hash"):
        zoo["normal"].prepare()
    assert not list((tmp_path / "new").glob("*.p*"))


@pytest.mark.parametrize("name", ["normal.pth", "normal_encoder-xyz.pth", "normal_encoder-0a.pth", "../normal"])
def test_a_name_without_its_sum_is_refused(name, tmp_path):
    with pytest.raises(ValueError, match=r"must be called normal_encoder-<SHA-256>\.pth"):
        made(tmp_path, {"normal": name})


def test_a_file_of_another_task_or_a_normalised_task_without_a_file_is_refused(tmp_path):
    name = "normal_encoder-01234567.pth"
    with pytest.raises(ValueError, match="file of curvature must be called curvature_encoder"):
        made(tmp_path, {"curvature": name})
    with pytest.raises(ValueError, match="normalised holds curvature; the tasks are normal"):
        made(tmp_path, {"normal": name}, normalised=["curvature"])


@pytest.mark.parametrize("normalise", [False, True])
def test_the_network_is_that_of_the_package_which_published_it(normalise):
    package = pytest.importorskip("visualpriors.taskonomy_network")
    published, ours = package.TaskonomyEncoder(normalize_outputs=normalise), encoder(normalise=normalise)
    weights = random_weights(0)
    published.load_state_dict(weights)
    ours.load_state_dict(weights)
    images = 2 * torch.rand(1, 3, 100, 128) - 1
    torch.testing.assert_close(ours.eval()(images), published.eval()(images))


def test_the_files_are_those_that_the_package_names(config):
    package = pytest.importorskip("visualpriors.taskonomy_network")
    zoo = config("testbed/zoo=taskonomy")["testbed"]["zoo"]
    published = {task: package.TASKONOMY_PRETRAINED_URLS[f"{task}_encoder"] for task in TASKS}
    assert {task: f"{zoo['url']}/{name}" for task, name in zoo["files"].items()} == published


def made(root, files, **settings):
    return taskonomy(**{"root": str(root), "url": "file:///nowhere", "files": files} | settings)


def write(root: Path, task: str, content, *, legacy: bool = False) -> str:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=not legacy)
    name = f"{task}_encoder-{hashlib.sha256(buffer.getvalue()).hexdigest()[:8]}.pth"
    (root / name).write_bytes(buffer.getvalue())
    return name


def random_weights(seed: int) -> OrderedDict:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        weights = encoder(normalise=False).state_dict()
        for key, value in weights.items():
            if key.endswith("running_mean"):
                value.normal_(0, 0.1)
            elif key.endswith("running_var"):
                value.uniform_(0.5, 1.5)
    return weights


def hollow_weights() -> OrderedDict:
    """All keys and shapes in a file of kilobytes: each tensor is one number, repeated."""
    with torch.device("meta"):
        shapes = encoder(normalise=False).state_dict()
    return OrderedDict((key, torch.zeros((), dtype=value.dtype).expand(value.shape)) for key, value in shapes.items())


@pytest.mark.parametrize("method", [pytest.param("modelgif/grey", marks=pytest.mark.slow), "rsa"])
def test_the_papers_comparison_starts_and_scores_two_images_on_fabricated_encoders(method, tmp_path, monkeypatch):
    tasks = ["normal", "curvature", "reshading", "autoencoding"]
    names = {task: write(tmp_path, task, {"state_dict": random_weights(seed)}) for seed, task in enumerate(tasks)}
    pictures = torch.randint(256, (5, 140, 150, 3), dtype=torch.uint8).numpy()
    for number, pixels in enumerate(pictures):
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    trial = [
        "experiment=task_relatedness_paper",
        f"method={method}",
        "testbed.budget=4",
        "testbed.samples.count=4",
        f"testbed.samples.root={tmp_path}",
        f"testbed.zoo.root={tmp_path}",
        "~testbed.zoo.files",
        f"+testbed.zoo.files={{{','.join(f'{task}:{name}' for task, name in names.items())}}}",
        "testbed.zoo.normalised=[]",
        "results=" + str(tmp_path / "results"),
        "wandb=disabled",
        *(["method.represent.steps=2"] if method == "modelgif/grey" else []),
    ]
    monkeypatch.chdir(tmp_path)
    run.main(composed(*trial))
    (report,) = tmp_path.glob("results/runs/*/report.json")
    metrics = json.loads(report.read_text())["metrics"]
    assert -1 <= metrics["spearman_without"] <= 1
    assert metrics["cost/forward_per_model"] >= 4
    assert "ceiling/split_half/spearman_with" not in metrics  # the published truth has no halves
