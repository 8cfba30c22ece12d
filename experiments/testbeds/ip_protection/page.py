"""Pictures of experiments on IP protection, from their runs."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.pages import plots, sweep
from experiments.pages.sweep import Run


def auc_heat_map(found: list[Run], records: Path) -> Figure:
    """The table's AUC columns as colours."""
    columns = {key: title for key, title in found[0][0]["table"]["columns"].items() if key.startswith("auc/")}
    rows = {
        label: {
            title: np.mean([metrics.get(key, np.nan) for metrics in sweep.metrics(jobs)] or [np.nan])
            for key, title in columns.items()
        }
        for label, jobs in sweep.rows(found).items()
    }
    return plots.heat_map(pd.DataFrame.from_dict(rows, orient="index"), title=found[0][0]["table"]["title"])
