"""One vector for each model of a zoo, then all distances at once: python -m experiments.embed method=modelgif/sketch.

A model is embedded by itself, so a thousand models are as many jobs as there are machines for, over one shared folder:
python -m experiments.embed -m 'shard=range(20)' shards=20 hydra/launcher=submitit_slurm method=modelgif/sketch
"""

import sys
from functools import partial
from pathlib import Path
from typing import Any, cast

import hydra
import pandas as pd
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from experiments.interfaces import Method, Testbed
from experiments.job import available
from experiments.measure import return_freed_memory, reuse_freed_memory
from experiments.methods.fields.sketch import embedded
from experiments.prepare import part, prepare
from experiments.progress import bar
from experiments.refusal import one_line
from experiments.storage import record
from experiments.storage.embeddings import load_embedding, save_embedding
from experiments.storage.files import lock, write
from modelgif_core import embed, sketch_distances


def embed_zoo(
    testbed: Testbed, method: Method, folder: Path, device: torch.device, *, shard: int = 0, shards: int = 1
) -> int:
    """Embed the models of this part of the zoo that have no file yet; returns how many.

    Raises:
        ValueError: if the method has no embeddings, or there is no such part.
    """
    if not isinstance(method.represent, partial) or method.represent.func is not embedded:
        raise ValueError(f"{method.label} has no embeddings of fixed size; choose method=modelgif/sketch")
    reuse_freed_memory()
    paths = method.queries(testbed)
    mine = part(testbed.zoo, shard, shards)
    made = 0
    with bar(f"{method.label}, part {shard + 1} of {shards}") as tell:
        for done, (name, model) in enumerate(mine.items(), start=1):
            file = folder / f"{name}.safetensors"
            with lock(file):
                if not file.exists():
                    save_embedding(file, embed(model.load().to(device), paths, **method.represent.keywords))
                    made += 1
            return_freed_memory()
            tell(done, len(mine))
    return made


def distances(folder: Path, names: list[str]) -> pd.DataFrame:
    """Distances of all pairs (names, names) from the files.

    Raises:
        ValueError: if a file is damaged, or they were made on different reference sets.
    """
    found = sketch_distances([load_embedding(folder / f"{name}.safetensors") for name in names])
    return pd.DataFrame(found.numpy(), names, names)


@hydra.main(version_base="1.3", config_path="../conf", config_name="config")
@one_line
def main(cfg: DictConfig) -> None:
    """Embed the configured zoo, or a part of it; whoever comes last writes the table of distances."""
    config = cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True))
    torch.set_num_threads(1)
    torch.manual_seed(config["seed"])
    device = available(config["device"])
    testbed: Testbed = instantiate(config["testbed"], _convert_="all")
    method: Method = instantiate(config["method"], _convert_="all")
    prepare(part(testbed.zoo, config["shard"], config["shards"]), workers=config["workers"])
    folder = Path(config["results"]) / "embeddings" / record.folder(config).name
    made = embed_zoo(testbed, method, folder, device, shard=config["shard"], shards=config["shards"])
    left = [name for name in testbed.zoo if not (folder / f"{name}.safetensors").exists()]
    print(f"{made} models embedded in {folder}, {len(left)} of {len(testbed.zoo)} left", file=sys.stderr)
    if not left:
        write(folder / "distances.csv", distances(folder, list(testbed.zoo)).to_csv(float_format="%.6g").encode())
        print(f"{folder}/distances.csv")


if __name__ == "__main__":
    main()
