"""Pictures of experiments on IP protection, from their runs."""

import pandas as pd
from matplotlib.figure import Figure

from experiments.pages import plots
from experiments.pages.section import mean
from experiments.pages.sweep import Experiment


def auc_heat_map(found: Experiment) -> Figure:
    """The table's AUC columns as colours."""
    columns = {key: title for key, title in found.page["columns"].items() if key.startswith("auc/")}
    rows = {
        label: {title: mean(found.metrics(runs), key) for key, title in columns.items()}
        for label, runs in found.rows().items()
    }
    return plots.heat_map(pd.DataFrame.from_dict(rows, orient="index"), title=found.page["title"])
