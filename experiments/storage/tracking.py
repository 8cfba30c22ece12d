"""Sends a finished run to W&B; the only file that imports wandb. The truth is `report.json`."""

from pathlib import Path
from typing import Any

import pandas as pd
import wandb


def track(config: dict[str, Any], folder: Path, record: dict[str, Any], distances: pd.DataFrame) -> None:
    """One W&B run for one record: its metrics, distances and figures, grouped by experiment."""
    testbed, method = record["identity"]["testbed"][0], config["method"]["label"]
    with wandb.init(
        project=config["wandb"]["project"],
        mode=config["wandb"]["mode"],
        group=config["name"],
        name=f"{testbed}/{method}",
        id=folder.name,
        config=record["config"] | {key: record[key] for key in ("commit", "device")},
        dir=config["results"],
        settings=wandb.Settings(silent=True),
    ) as run:
        run.log(record["metrics"])
        run.log({"distances": wandb.Table(dataframe=distances.reset_index().rename(columns=str))})
        run.log({picture.stem: wandb.Image(str(picture)) for picture in sorted(folder.glob("*.png"))})
