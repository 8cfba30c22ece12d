"""Trains or fetches what a zoo lacks, in parallel processes: python -m experiments.prepare testbed=ip_protection.

On a cluster, in many jobs that share the cache:
python -m experiments.prepare -m 'shard=range(20)' shards=20 hydra/launcher=submitit_slurm testbed=ip_protection
"""

import sys
from typing import Any

import hydra
from hydra.utils import instantiate
from joblib import Parallel, delayed
from omegaconf import DictConfig

from experiments.commands.door import admitted, enter
from experiments.commands.interrupts import interruptible, mortal
from experiments.commands.progress import bar
from experiments.commands.refusal import one_line
from experiments.interfaces import Zoo


def prepare(zoo: Zoo, *, workers: int) -> int:
    """Make every model of the zoo ready; returns how many were not.

    Checkpoints along one training come of one job. A model is one file, written whole. Whoever comes second to a file
    waits for the first, so several runs may prepare the same zoo, and a killed one is simply started again.
    """
    missing = [model for model in zoo.values() if not model.ready()]
    jobs = {model.job or model.name: model for model in missing}
    if jobs:
        with bar("training the zoo") as tell:
            calls = (delayed(model.prepare)() for model in jobs.values())
            # Processes even in a launcher's worker, where joblib would fall back to threads, which share random state.
            finished = Parallel(n_jobs=workers, backend="loky", return_as="generator_unordered", **mortal())(calls)
            for done, _ in enumerate(finished, start=1):
                tell(done, len(jobs))
    return len(missing)


def part(zoo: Zoo, shard: int, shards: int) -> Zoo:
    """Every `shards`-th training's models, from the one numbered `shard`: parts are disjoint and together the zoo.

    Checkpoints along one training stay together. What a model starts from is made with it, in whichever part comes
    first; the others wait for that file.
    """
    if not 0 <= shard < shards:
        raise ValueError(f"shard must lie between 0 and shards - 1 = {shards - 1}, not {shard}")
    trainings = list(dict.fromkeys(model.job or name for name, model in zoo.items()))[shard::shards]
    return {name: model for name, model in zoo.items() if (model.job or name) in set(trainings)}


def refuse_for_runs(config: dict[str, Any]) -> None:
    """Refuse settings that would change nothing where no record is made."""
    for key, meaning in {"dry_run": "keeps nothing of it", "rerun": "makes a record anew"}.items():
        if config[key]:
            raise ValueError(f"{key}=true is for run.py, which {meaning}; leave it out here")


@interruptible
@hydra.main(version_base="1.3", config_path="../conf", config_name="config")
@one_line
def main(cfg: DictConfig) -> None:
    """Prepare the zoo of the configured testbed."""
    config = admitted(cfg)
    refuse_for_runs(config)
    zoo = part(instantiate(config["testbed"]["zoo"], _convert_="all"), config["shard"], config["shards"])
    made = prepare(zoo, workers=config["workers"])
    print(f"{len(zoo)} models are ready, {made} of them new", file=sys.stderr)


if __name__ == "__main__":
    enter(main)
