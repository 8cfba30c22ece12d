"""Compose a configuration, measure, score, record: the only entry point of an experiment.

python run.py                                       # ModelGiF on the embedded IP-protection zoo
python run.py method=akh testbed.budget=64          # another method, another budget
python run.py -m method=modelgif,akh seed=0,1,2     # a sweep
python run.py experiment=ip_protection              # a table
"""

from pathlib import Path
from time import perf_counter
from typing import Any, cast

import hydra
import pandas as pd
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from experiments import record
from experiments.interfaces import Method, Testbed
from experiments.measure import measure
from experiments.prepare import prepare
from experiments.progress import bar
from experiments.refusal import one_line
from experiments.store import lock


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
@one_line
def main(cfg: DictConfig) -> None:
    """Do one run, unless its record is there."""
    config = cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True))
    folder = record.folder(config)
    with lock(folder):
        found = record.finished(folder)
        if found and not cfg.rerun:
            print(f"{title(config)}: finished before, see {folder} (rerun=true measures again)")
            return
        run(config, folder)


def run(config: dict, folder: Path) -> None:
    """Measure, score and record one configuration."""
    torch.set_num_threads(1)
    torch.manual_seed(config["seed"])
    device = available(config["device"])
    testbed: Testbed = instantiate(config["testbed"], _convert_="all")
    method: Method = instantiate(config["method"], _convert_="all")
    prepare(testbed.zoo, workers=config["workers"])
    began = perf_counter()
    with bar(title(config)) as tell:
        distances, cost = measure(testbed, method, device, chunk=config["chunk"], progress=tell)
    report = testbed.score(distances)
    report.metrics.update(cost)
    saved = record.save(folder, config, described(distances, testbed), report, perf_counter() - began)
    print(f"{title(config)}: {folder}/report.json")
    if config["wandb"]["mode"] != "disabled":
        from experiments.tracking import track  # only here, because wandb takes seconds to import

        track(config, folder, saved, described(distances, testbed))


def available(name: str) -> torch.device:
    """The device of that name, if this machine has it."""
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {name!r} is not to be had here ({str(error).splitlines()[0]}); try cpu") from error


def described(distances: pd.DataFrame, testbed: Testbed) -> pd.DataFrame:
    """Distances with what is known about each pair in front: roles, architecture, accuracy, mean distance."""
    targets = [testbed.zoo[target] for _, target in distances.index]
    facts = pd.DataFrame(
        {
            "source_role": [testbed.zoo[source].role for source, _ in distances.index],
            "target_role": [model.role for model in targets],
            "architecture": [model.architecture for model in targets],
            "accuracy": [model.facts().get("accuracy") for model in targets],
            "distance": distances.mean(axis=1),
        },
        index=distances.index,
    )
    return pd.concat([facts, distances], axis=1)


def title(config: dict) -> str:
    """A run's name on the terminal."""
    return f"{config['name']}: {config['method']['label']}, seed {config['seed']}"


if __name__ == "__main__":
    main()
