"""What a candidate gains on other methods at telling models that have forgotten from all others."""

from experiments.pages.contest import contest
from experiments.pages.sweep import Experiment, Run
from experiments.statistics.contest import Sides
from experiments.storage import record


def gained(found: Experiment) -> str:
    """AUC by nearness to retrained models, the page's candidates minus each other method, on the same suspects."""
    return contest(
        "AUC of models that truly never saw the class against all others, by nearness to retrained ones", found, _all
    )


def _all(run: Run) -> Sides:
    table, testbed = record.matrix(run.folder, "suspects"), run.config["testbed"]
    ranked = table["retrains"].fillna(table["retrains"].max() + 1)  # what does not exist certifies nothing
    forgotten, aside = (table["role"].isin(testbed[name]) for name in ("forgotten", "aside"))
    return Sides(ranked[forgotten].to_numpy(), ranked[~forgotten & ~aside].to_numpy())
