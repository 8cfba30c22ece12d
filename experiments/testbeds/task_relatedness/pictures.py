"""Pictures of whole experiments: functions from an experiment's runs to a figure, named by its YAML."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.pages import plots, sweep
from experiments.pages.sweep import Run
from experiments.storage import record
from experiments.testbeds.task_relatedness.affinity import dissimilarity, symmetric
from experiments.testbeds.task_relatedness.tasks import FAMILIES


def ranking(found: list[Run], records: Path) -> Figure:
    """Every method's mean column-wise Spearman with its interval, one colour for each setting the table goes across."""
    settings = found[0][0]["table"]
    groups = sweep.rows(found)
    rows = {label: (jobs, "") for label, jobs in groups.items()}
    first = next(iter(groups.values()))
    rows |= {label: (first, f"{prefix}/") for label, prefix in (settings.get("controls") or {}).items()}
    estimates = {
        title: {label: _estimate(sweep.metrics(jobs, value), prefix) for label, (jobs, prefix) in rows.items()}
        for value, title in sweep.sides(found).items()
    }
    return plots.dots(estimates, label="mean column-wise Spearman with the affinity, diagonal left out")


def matrices(found: list[Run], records: Path) -> Figure:
    """Truth, headline and best baseline side by side, on the first zoo."""
    return plots.matrices(_squares(found, records))


def trees(found: list[Run], records: Path) -> Figure:
    """Their similarity trees, leaves coloured by task family."""
    return plots.trees(_squares(found, records), FAMILIES)


def targets(found: list[Run], records: Path) -> Figure:
    """Scores target by target, mean over zoos: headline, best baseline and the controls of the truth."""
    scores = per_target(found, next(iter(sweep.sides(found))))
    label = "Spearman with the affinity, diagonal left out"
    return plots.bars({name: scores[name] for name in _shown(found)}, label=label)


def per_target(found: list[Run], value: str | None) -> pd.DataFrame:
    """Mean over zoos of each row's score for every target: index target, columns rows of the table."""
    scores = {}
    for label, jobs in sweep.rows(found).items():
        done = [
            pd.Series(
                {key.removeprefix("target/"): score for key, score in metrics.items() if key.startswith("target/")}
            )
            for metrics in sweep.metrics(jobs, value)
        ]
        if done:
            scores[label] = pd.concat(done, axis=1).mean(axis=1)
    return pd.DataFrame(scores)


def _estimate(metrics: list[dict[str, float]], prefix: str) -> tuple[float, float, float]:
    keys = [f"{prefix}spearman_without{end}" for end in ("", "/low", "/high")]
    return tuple(float(np.mean([one.get(key, np.nan) for one in metrics] or [np.nan])) for key in keys)  # pyright: ignore[reportReturnType]


def _squares(found: list[Run], records: Path) -> dict[str, pd.DataFrame]:
    rows = sweep.rows(found)
    squares = {}
    for label in _shown(found):
        config = next(config for config, finished in rows[label] if finished)
        folder = records / record.folder(config).name
        affinity = pd.read_csv(folder / "affinity.csv", index_col=0)
        squares |= {"truth (1 - rank of affinity)": dissimilarity(affinity)}
        squares[label] = symmetric(record.distances(folder).mean(axis=1), list(affinity))
    return squares


def _shown(found: list[Run]) -> list[str]:
    """The headline and the best baseline, as far as they have run."""
    settings = found[0][0]["table"]
    scores = per_target(found, next(iter(sweep.sides(found)))).mean()
    baselines = scores.drop([settings["headline"], *settings["variants"]], errors="ignore")
    return [label for label in (settings["headline"], *baselines.nlargest(1).index) if label in scores]
