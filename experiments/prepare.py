"""Trains or fetches what a zoo lacks, in parallel processes: python -m experiments.prepare testbed=ip_protection."""

import sys

import hydra
from hydra.utils import instantiate
from joblib import Parallel, delayed
from omegaconf import DictConfig

from experiments.interfaces import Zoo
from experiments.progress import bar
from experiments.refusal import one_line


def prepare(zoo: Zoo, *, workers: int) -> int:
    """Make every model of the zoo ready; returns how many were not.

    A model is one file, written whole. Whoever comes second to a file waits for the first, so several runs may
    prepare the same zoo, and a killed one is simply started again.
    """
    missing = [model for model in zoo.values() if not model.ready()]
    if missing:
        with bar("training the zoo") as tell:
            jobs = (delayed(model.prepare)() for model in missing)
            # Processes even in a launcher's worker, where joblib would fall back to threads, which share random state.
            finished = Parallel(n_jobs=workers, backend="loky", return_as="generator_unordered")(jobs)
            for done, _ in enumerate(finished, start=1):
                tell(done, len(missing))
    return len(missing)


@hydra.main(version_base="1.3", config_path="../conf", config_name="config")
@one_line
def main(config: DictConfig) -> None:
    """Prepare the zoo of the configured testbed."""
    zoo = instantiate(config.testbed.zoo, _convert_="all")
    made = prepare(zoo, workers=config.workers)
    print(f"{len(zoo)} models are ready, {made} of them new", file=sys.stderr)


if __name__ == "__main__":
    main()
