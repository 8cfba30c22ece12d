"""One vector for each model of a zoo, then all distances at once: python -m experiments.embed method=modelgif/sketch.

A model is embedded by itself, so a thousand models are as many jobs as there are machines for, over one shared folder:
python -m experiments.embed -m 'shard=range(20)' shards=20 hydra/launcher=submitit_slurm method=modelgif/sketch
"""

import sys
from pathlib import Path
from urllib.parse import quote

import hydra
import pandas as pd
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import nn

from experiments.commands.door import admitted, enter
from experiments.commands.interrupts import interruptible
from experiments.commands.progress import bar
from experiments.commands.refusal import one_line
from experiments.interfaces import Method, Testbed, ZooModel
from experiments.job import available, fingerprint
from experiments.memory import return_freed_memory, reuse_freed_memory
from experiments.offers import offered, refuse_learnt, refuse_unmet
from experiments.prepare import part, prepare, refuse_for_runs
from experiments.storage import record
from experiments.storage.embeddings import load_embedding, save_embedding
from experiments.storage.files import lock, write
from experiments.storage.tables import FORMAT
from modelgif_core import Embedding, Paths, sketch_distances


def embed_zoo(
    testbed: Testbed, method: Method, folder: Path, device: torch.device, *, shard: int = 0, shards: int = 1
) -> int:
    """Embed the models of this part of the zoo that have no file yet; returns how many.

    Raises:
        ValueError: if the method has no embeddings, there is no such part, or the zoo has nulls on other images.
    """
    if any(model.shown for model in testbed.zoo.values()):
        raise ValueError("nulls that are shown other images have no embeddings to compare; testbed.zoo.nulls=false")
    reuse_freed_memory()
    paths = method.queries(offered(method, testbed))
    mine = part(testbed.zoo, shard, shards)
    # Whether a method has embeddings, one path tells.
    for model in list(mine.values())[:1]:
        if not isinstance(paths, Paths) or not isinstance(method.represent(model.load(), paths[:1]), Embedding):
            raise ValueError(f"{method.label} has no embeddings of fixed size; choose method=modelgif/sketch")
    made = 0
    with bar(f"{method.label}, part {shard + 1} of {shards}") as tell:
        for done, (name, model) in enumerate(mine.items(), start=1):
            file = embedded(folder, name)
            with lock(file):
                if not file.exists():
                    save_embedding(file, method.represent(_ready(method, model, paths, device), paths))
                    made += 1
            return_freed_memory()
            tell(done, len(mine))
    return made


def _ready(method: Method, model: ZooModel, paths: Paths, device: torch.device) -> nn.Module:
    loaded = model.load().to(device).eval()
    return loaded if method.prepare is None else method.prepare(loaded, paths.ends[:1].to(device))


def embedded(folder: Path, name: str) -> Path:
    """The file of a model's vector, in the folder whatever the name: a model may be named by a path.

    >>> embedded(Path("vectors"), "../mine.pt@timm:resnet18").name
    '..%2Fmine.pt%40timm%3Aresnet18.safetensors'
    """
    return folder / f"{quote(name, safe='')}.safetensors"


def distances(folder: Path, names: list[str]) -> pd.DataFrame:
    """Distances of all pairs (names, names) from the files.

    Raises:
        ValueError: if a file is damaged, or they were made on different reference sets.
    """
    found = sketch_distances([load_embedding(embedded(folder, name)) for name in names])
    return pd.DataFrame(found.numpy(), names, names)


@interruptible
@hydra.main(version_base="1.3", config_path="../conf", config_name="config")
@one_line
def main(cfg: DictConfig) -> None:
    """Embed the configured zoo, or a part of it; whoever comes last writes the table of distances."""
    config = admitted(cfg)
    refuse_for_runs(config)
    torch.set_num_threads(1)
    torch.manual_seed(config["seed"])
    device = available(config["device"])
    testbed: Testbed = instantiate(config["testbed"], _convert_="all")
    method: Method = instantiate(config["method"], _convert_="all")
    refuse_unmet(method, testbed)
    refuse_learnt(testbed)
    prepare(part(testbed.zoo, config["shard"], config["shards"]), workers=config["workers"])
    # A run's name leaves out what lies where the settings say: other images and models have other vectors.
    content = fingerprint(testbed)
    folder = Path(config["results"]) / "embeddings" / f"{record.folder(config).name}-{content}"
    made = embed_zoo(testbed, method, folder, device, shard=config["shard"], shards=config["shards"])
    left = [name for name in testbed.zoo if not embedded(folder, name).exists()]
    print(f"{made} models embedded in {folder}, {len(left)} of {len(testbed.zoo)} left", file=sys.stderr)
    if not left:
        write(folder / "distances.csv", distances(folder, list(testbed.zoo)).to_csv(float_format=FORMAT).encode())
        print(f"{folder}/distances.csv")


if __name__ == "__main__":
    enter(main)
