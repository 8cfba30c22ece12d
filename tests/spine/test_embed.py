"""A zoo's embeddings: made in parts, kept in files, compared all at once."""

import pandas as pd
import pytest
import torch
from conftest import TOY
from hydra.utils import instantiate
from PIL import Image
from safetensors.torch import save_file

from experiments.embed import distances, embed_zoo
from experiments.offers import offered
from experiments.testbeds.pairwise import networks

CPU = torch.device("cpu")
SKETCH = [*TOY, "method=modelgif/sketch", "method.represent.steps=3", "method.represent.dims=256"]


@pytest.fixture
def parts(config):
    composed = config(*SKETCH)
    return tuple(instantiate(composed[part], _convert_="all") for part in ("testbed", "method"))


def test_made_in_parts_or_whole_they_are_the_same_and_what_is_there_is_kept(parts, tmp_path):
    testbed, method = parts
    whole, split = tmp_path / "whole", tmp_path / "split"
    assert embed_zoo(testbed, method, whole, CPU) == len(testbed.zoo)
    assert sum(embed_zoo(testbed, method, split, CPU, shard=shard, shards=3) for shard in (2, 0, 1)) == len(testbed.zoo)
    assert embed_zoo(testbed, method, whole, CPU) == 0
    names = list(testbed.zoo)
    one, other = distances(whole, names), distances(split, names)
    assert one.equals(other)
    assert (one.to_numpy() == one.to_numpy().T).all()
    assert one.loc["victim", "victim"] == 0


def test_the_table_of_distances_is_that_of_the_sketched_method(parts, tmp_path):
    testbed, method = parts
    embed_zoo(testbed, method, tmp_path, CPU)
    pair = testbed.pairs()[0]
    queries = method.queries(offered(method, testbed))
    expected = method.distance(*[method.represent(testbed.zoo[name].load(), queries) for name in pair])
    assert distances(tmp_path, list(pair)).loc[pair] == pytest.approx(expected)


@pytest.mark.slow
def test_the_last_part_writes_the_table(command, tmp_path):
    for shard, left in ((0, 32), (1, 0)):
        done = command("-m", "experiments.embed", *SKETCH, f"shard={shard}", "shards=2")
        assert done.returncode == 0, done.stderr
        assert f"{left} of 64 left" in done.stderr
        tables = list(tmp_path.glob("results/embeddings/*/distances.csv"))
        assert len(tables) == (left == 0)
    assert pd.read_csv(tables[0], index_col=0).shape == (64, 64)


@pytest.mark.slow
def test_other_images_in_the_same_place_have_vectors_of_their_own_and_files_stay_in_their_folder(command, tmp_path):
    save_file(networks.load("timm:test_resnet", 3).network.state_dict(), tmp_path / "mine.safetensors")
    models = [f"{tmp_path}/mine.safetensors@timm:test_resnet", "mine.safetensors@timm:test_resnet"]
    given = [
        "testbed=pairwise",
        f"testbed.zoo.models=[{','.join(models)}]",
        "testbed.zoo.nulls=false",
        "testbed/samples=image_folder",
        f"testbed.samples.root={tmp_path}/images",
        "testbed.samples.size=16",
        "testbed.budget=2",
        *SKETCH[3:],
    ]
    tables = set()
    for colours in (("red", "blue", "gray"), ("green", "white", "black")):
        for number, colour in enumerate(colours):
            (tmp_path / "images").mkdir(exist_ok=True)
            Image.new("RGB", (16, 16), colour).save(tmp_path / "images" / f"{number}.png")
        done = command("-m", "experiments.embed", *given)
        assert done.returncode == 0, done.stderr
        assert "2 models embedded" in done.stderr
        tables |= set(tmp_path.rglob("distances.csv"))
    assert len(tables) == 2
    assert pd.read_csv(tables.pop(), index_col=0).index.tolist() == models
    vectors = [file.parent for file in tmp_path.rglob("*.safetensors") if "embeddings" in str(file)]
    assert len(vectors) == 4
    assert {file.parent.name for file in vectors} == {"embeddings"}


def test_a_method_without_embeddings_is_refused(command):
    done = command("-m", "experiments.embed", *TOY)
    assert done.returncode != 0
    assert "ModelGiF has no embeddings of fixed size; choose method=modelgif/sketch" in done.stderr
