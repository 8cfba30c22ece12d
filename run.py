"""Compose a configuration, measure, score, record: the only entry point of an experiment.

python run.py                                       # ModelGiF on the embedded IP-protection zoo
python run.py method=akh testbed.budget=64          # another method, another budget
python run.py -m method=modelgif,akh seed=0,1,2     # a sweep
python run.py experiment=ip_protection              # a table
"""

from typing import Any, cast

import hydra
from omegaconf import DictConfig, OmegaConf

from experiments import record
from experiments.refusal import one_line
from experiments.store import lock


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
@one_line
def main(cfg: DictConfig) -> None:
    """Do one run, unless its record is there."""
    config = cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True))
    folder = record.folder(config)
    with lock(folder):
        if record.finished(folder) and not cfg.rerun:
            print(f"{record.title(config)}: finished before, see {folder} (rerun=true measures again)")
            return
        from experiments.job import run  # only here, so that a finished run answers at once

        run(config, folder)


if __name__ == "__main__":
    main()
