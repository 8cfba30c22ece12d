"""Compose a configuration, measure, score, record: the only entry point of an experiment.

python run.py                                       # ModelGiF on the embedded IP-protection zoo
python run.py method=akh testbed.budget=64          # another method, another budget
python run.py -m method=modelgif,akh seed=0,1,2     # a sweep
python run.py experiment=ip_protection              # a table
python run.py experiment=reproduce scale=mini       # all tables of a scale
python run.py testbed=unlearning testbed/zoo=unlearning_cifar100 dry_run=true   # does a long run hold together?
"""

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from experiments.commands.answers import refuse_others, remember
from experiments.commands.door import admitted, enter
from experiments.commands.interrupts import interruptible
from experiments.commands.refusal import one_line
from experiments.pages import closing
from experiments.storage import failure, identity, record
from experiments.storage.files import lock

ALL = "experiment=reproduce"
"""Asks for every experiment of a scale instead of one."""


@interruptible
@hydra.main(version_base="1.3", config_path="conf", config_name="config")
@one_line
def main(cfg: DictConfig) -> str:
    """Do one run, unless its record is there; says which of the two, for a sweep's summary."""
    config = admitted(cfg)
    refuse_parts(config)
    refuse_declared(config, HydraConfig.get().overrides.task if HydraConfig.initialized() else [])
    if config["dry_run"]:
        rehearse(cfg)
        return "done"
    folder = record.folder(config)
    if answered(config, folder):  # before the lock, which has to be written
        return found(config, folder)
    with lock(folder):
        if answered(config, folder):  # by whoever held the lock
            return found(config, folder)
        with failure.kept(folder, config):
            refuse_unsendable(config)
            from experiments.job import run  # only here, so that a finished run answers at once

            record.forget(folder)
            saved = run(config, folder)
        remember(config, folder)
        send(config, folder)
    closing.show(config, folder, saved)
    return "done"


def refuse_parts(config: dict[str, Any]) -> None:
    """Refuse to measure a part of a zoo: all of it would be."""
    if (config["shard"], config["shards"]) != (0, 1):
        raise ValueError(
            f"shard={config['shard']} shards={config['shards']} is a part of a zoo, for experiments.prepare and "
            "experiments.embed; a run measures all of it: leave both out here"
        )


def refuse_declared(config: dict[str, Any], words: Sequence[str]) -> None:
    """Refuse words that change what a method declares, where that decides which pairs are measured: it names no run."""
    changed = [word for word in words if re.match(r"[+~]*method\.(needs|access)\b", word)]
    if changed and hasattr(identity.function(config["testbed"]["_target_"]), "why_not"):
        raise ValueError(
            f"{changed[0]} would leave out other pairs of this testbed under the same run's name: what a method needs "
            "and sees is what its functions ask for; leave it as it is, or take another method"
        )


def refuse_unsendable(config: dict[str, Any]) -> None:
    """Refuse, before anything is measured, what W&B would refuse afterwards."""
    if config["wandb"]["mode"] != "disabled":
        from experiments.storage import tracking  # only here, because wandb takes seconds to import

        tracking.refuse_unsendable(Path(config["results"]), config["wandb"]["mode"])


def send(config: dict[str, Any], folder: Path) -> None:
    """Give W&B what was recorded."""
    if config["wandb"]["mode"] != "disabled":
        from experiments.storage import tracking

        tracking.send(folder, Path(config["results"]), **config["wandb"])


def found(config: dict[str, Any], folder: Path) -> str:
    """What is said of a finished run; W&B's sweeps wait for the numbers of every job, even of one done before."""
    if "WANDB_SWEEP_ID" in os.environ:
        send(config, folder)
    return "found finished"


def answered(config: dict[str, Any], folder: Path) -> bool:
    """Whether the run's record is there and not to be made anew; says where."""
    finished = None if config["rerun"] else record.finished(folder, folder.name)
    if finished is None:
        return False
    refuse_others(config, finished, folder)
    print(f"{record.title(config)}: finished before, see {folder} (rerun=true measures again)")
    closing.show(config, folder, finished)
    return True


def rehearse(cfg: DictConfig) -> None:
    """Do the whole of a run in small, in a folder that is gone afterwards; prints what was scored."""
    if "dry_run" not in cfg.testbed.zoo:
        raise ValueError("this zoo has no dry run; those at paper scale have one, such as sac_hub and lineage_cifar10")
    from experiments.job import run

    with TemporaryDirectory() as place:
        cfg.results, cfg.cache, cfg.wandb.mode = place, place, "disabled"
        cfg.testbed.budget = min(cfg.testbed.budget, 4)
        config = admitted(cfg)
        for name, value in run(config, record.folder(config))["metrics"].items():
            print(f"{name}: {value:.4g}")
    print("dry run: everything fits together; the numbers mean nothing and are not kept")


def reproduce() -> int:
    """Do all experiments of a scale, which are many runs of this program: `experiment=reproduce`."""
    from experiments.reproduce import main as all_of  # only here: it reads the pages' settings

    return all_of([word for word in sys.argv[1:] if word != ALL])


if __name__ == "__main__":
    if ALL in sys.argv:
        sys.exit(reproduce())
    enter(main)
