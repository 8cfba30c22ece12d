"""Compose a configuration, measure, score, record: the only entry point of an experiment.

python run.py                                       # ModelGiF on the embedded IP-protection zoo
python run.py method=akh testbed.budget=64          # another method, another budget
python run.py -m method=modelgif,akh seed=0,1,2     # a sweep
python run.py experiment=ip_protection              # a table
python run.py testbed=unlearning testbed/zoo=unlearning_cifar100 dry_run=true   # does a long run hold together?
"""

from tempfile import TemporaryDirectory

import hydra
from omegaconf import DictConfig

from experiments.door import admitted, enter
from experiments.refusal import one_line
from experiments.storage import record
from experiments.storage.files import lock


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
@one_line
def main(cfg: DictConfig) -> None:
    """Do one run, unless its record is there."""
    config = admitted(cfg)
    if config["dry_run"]:
        rehearse(cfg)
        return
    folder = record.folder(config)
    with lock(folder):
        finished = record.finished(folder)
        if finished and not config["rerun"]:
            if record.places(finished["config"]["testbed"]) != record.places(config["testbed"]):
                from experiments.job import refuse_other_images

                refuse_other_images(config, finished, folder)
            print(f"{record.title(config)}: finished before, see {folder} (rerun=true measures again)")
            return
        from experiments.job import run  # only here, so that a finished run answers at once

        run(config, folder)


def rehearse(cfg: DictConfig) -> None:
    """Do the whole of a run in small, in a folder that is gone afterwards; prints what was scored."""
    if "dry_run" not in cfg.testbed.zoo:
        raise ValueError("this zoo has no dry run; those of testbed=unlearning at paper scale have one")
    from experiments.job import run

    with TemporaryDirectory() as place:
        cfg.results, cfg.cache, cfg.wandb.mode = place, place, "disabled"
        cfg.testbed.budget = min(cfg.testbed.budget, 4)
        config = admitted(cfg)
        for name, value in run(config, record.folder(config))["metrics"].items():
            print(f"{name}: {value:.4g}")
    print("dry run: everything fits together; the numbers mean nothing and are not kept")


if __name__ == "__main__":
    enter(main)
