"""Sends a finished run to W&B; the only file that imports wandb. The truth is `report.json`."""

from pathlib import Path
from typing import Any

import pandas as pd
import wandb

from experiments.interfaces import Report


def track(config: dict[str, Any], digest: str, record: dict[str, Any], distances: pd.DataFrame, report: Report) -> None:
    """One W&B run for one record: its metrics, distances and figures, grouped by experiment."""
    testbed, method = config["testbed"]["_target_"].split(".")[-2], config["method"]["label"]
    folder = Path(config["results"])
    folder.mkdir(parents=True, exist_ok=True)
    with wandb.init(
        project=config["wandb"]["project"],
        mode=config["wandb"]["mode"],
        group=config["name"],
        name=f"{testbed}/{method}",
        id=digest,
        config=record["config"] | {key: record[key] for key in ("commit", "device")},
        dir=folder,
        settings=wandb.Settings(silent=True),
    ) as run:
        run.log(record["metrics"])
        run.log({"distances": wandb.Table(dataframe=distances.reset_index().rename(columns=str))})
        run.log({name: wandb.Image(figure) for name, figure in report.figures.items()})
