"""Straight paths to chosen samples."""

from experiments.interfaces import Testbed
from experiments.queries.samples import Choice
from experiments.queries.starts import Start
from modelgif_core import Paths


def paths(testbed: Testbed, *, choose: Choice, start: Start) -> Paths:
    """Paths to chosen samples."""
    chosen = choose(testbed)
    return Paths(start(chosen.inputs, testbed.samples.inputs), chosen.inputs, chosen.labels)
