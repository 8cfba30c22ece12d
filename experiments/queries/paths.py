"""Straight paths to chosen samples."""

from experiments.interfaces import Offered
from experiments.queries.samples import Choice
from experiments.queries.starts import Start
from modelgif_core import Paths


def paths(offered: Offered, *, choose: Choice, start: Start) -> Paths:
    """Paths to chosen samples."""
    chosen = choose(offered)
    return Paths(start(chosen.inputs, offered.samples.inputs), chosen.inputs, chosen.labels)
