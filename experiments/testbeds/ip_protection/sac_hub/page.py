"""The section of the paper's own table that sets it beside the authors' log of distances."""

import pandas as pd

from experiments.pages.published.ip_protection import SELECTIONS, TABLE
from experiments.pages.section import NOTHING, decimal, mean, section
from experiments.pages.sweep import Experiment
from experiments.storage.tables import published

SIZES = (512, 256, 128, 64, 32, 16, 8)
"""Numbers of reference points in the paper's script; its log begins at 256."""


def by_references(found: Experiment) -> str:
    """AUC of every choice of reference points by their number, beside what the authors have logged of theirs."""
    titles = {key.removeprefix("auc/"): title for key, title in found.page["columns"].items() if title in TABLE}
    log = published("ip_protection_authors_log_auc.csv", index=["reference_samples", "sample_selection", "attack"])
    logged, rows = log["auc_recomputed_from_rounded"].to_dict(), {}
    for label, runs in found.rows().items():
        metrics = found.metrics(runs)
        if metrics and label.startswith("ModelGiF"):
            for size in SIZES:
                cells = {title: decimal(mean(metrics, f"auc_at_{size}/{attack}")) for attack, title in titles.items()}
                rows[f"{label}, {size}"] = cells
    for size in SIZES[1:]:
        cells = {title: decimal(logged[size, SELECTIONS[0], TABLE[title]]) for title in titles.values()}
        rows[f"Authors' log, {size}"] = cells
    return section(
        "**How many reference points?** AUC on the first of them: as drawn, or as ranked by the published selection. "
        "The authors' log is of the latter, recomputed from distances of four digits; it has no 512.",
        pd.DataFrame.from_dict(rows, orient="index").fillna(NOTHING),
    )
