"""The suite: testbeds, methods, zoos and samples around `modelgif_core`. Read `interfaces.py` first.

`from experiments import compare` compares any models: `compare(models, images)`, see `testbeds/pairwise/compare.py`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from experiments.testbeds.pairwise.compare import compare as compare


def __getattr__(name: str) -> Any:
    """What the package itself offers, imported when it is asked for: every program imports the package first."""
    if name != "compare":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from experiments.testbeds.pairwise.compare import compare

    return compare
