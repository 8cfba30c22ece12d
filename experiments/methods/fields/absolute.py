"""Fields without their sign."""

from torch import Tensor

from modelgif_core import Field, cosine


def absolute_cosine(a: Field, b: Field) -> Tensor:
    """Cosine distance of the fields' absolute values, per path: 0 (same magnitudes) to 1 (nowhere both)."""
    return cosine(a.abs(), b.abs())
