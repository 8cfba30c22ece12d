"""What a candidate gains on other methods at finding copies under one threshold."""

from experiments.pages.contest import contest
from experiments.pages.sweep import Experiment, Run
from experiments.statistics.contest import Sides
from experiments.testbeds.ip_protection.page import suspects
from experiments.testbeds.ip_protection.testbed import copies


def gained(found: Experiment) -> str:
    """Pooled AUC, the page's candidates minus each other method, on the same suspects."""
    return contest("Pooled AUC of copies against strangers of every kind", found, _pooled)


def _pooled(run: Run) -> Sides:
    table, attacks = suspects(run), run.config["testbed"]["attacks"]
    attacked = table["role"].isin(set(attacks))
    return Sides(copies(table[attacked])["distance"].to_numpy(), table[~attacked]["distance"].to_numpy())
