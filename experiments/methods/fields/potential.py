"""Field and potential: a function is where it leads and what it is.

A field says where a model's outputs lead along paths; their potential, the outputs themselves, where they are: by
completeness the field's last step sums to their change. A copy may be near in either. Each distance is told in units
of what independent models of the owner's show, and the nearer of the two counts. Exploratory: no paper proposes it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from experiments.interfaces import Offered, Samples
from experiments.methods.outputs.pointwise import logit_cosine, outputs
from experiments.queries.samples import source
from modelgif_core import Paths, extract_field
from modelgif_core.distance import cosine
from modelgif_core.field import Field
from modelgif_core.readout import Readout
from modelgif_core.view import View


@dataclass(frozen=True)
class Measured:
    """Paths, and what the source's distances to independent models are on them."""

    paths: Paths
    units: Float[Tensor, "readings 2"]
    """Mean and standard deviation of the fields' distances, then of the potentials'."""

    @property
    def ends(self) -> Tensor:
        """The reference points, which are shown."""
        return self.paths.ends


@dataclass(frozen=True)
class Both:
    """What one model is and where it leads, and in which units it is compared."""

    field: Field
    potential: Float[Tensor, "paths classes"]
    units: Float[Tensor, "readings 2"]


def measured_paths(
    offered: Offered, *, choose: Callable[[Offered], Paths], represent: Callable[[nn.Module, Measured], Both]
) -> Measured:
    """Paths, and the spread of independent models' distances on them.

    Args:
        offered: gives pool, budget, source and the independent models, for `far`.
        choose: chooses the paths.
        represent: `both`, with the settings of the comparison.

    Raises:
        ValueError: if there are fewer than two independent models that depend on their input.
    """
    paths, far = choose(offered), offered.models.get("far", ())
    if len(far) < 2:
        raise ValueError(f"a spread needs two independent models or more, not {len(far)}; name their roles for `far`")
    unmeasured = Measured(paths, torch.ones(2, 2))
    own = represent(source(offered), unmeasured)
    distances = torch.stack([readings(own, represent(one.load(), unmeasured)) for one in far])
    distances = distances[distances.isfinite().all(1)]  # a model without a field tells nothing
    if len(distances) < 2:
        raise ValueError(
            f"of {len(far)} independent models {len(distances)} depend on their input, and a spread needs two"
        )
    return Measured(paths, torch.stack([distances.mean(0), distances.std(0)], 1))


def both(model: nn.Module, queries: Measured, *, steps: int, readout: Readout, view: View) -> Both:
    """The model's field along the paths, and its logits at their ends; the settings are `extract_field`'s."""
    potential = outputs(model, Samples(queries.paths.ends))
    field = extract_field(model, queries.paths, steps=steps, readout=readout, view=view)
    return Both(field, potential, queries.units.to(potential))


def readings(a: Both, b: Both) -> Float[Tensor, " readings"]:
    """The mean distance of fields, then of potentials: 1 - cosine, 0 to 2 each."""
    return torch.stack([cosine(a.field, b.field).nanmean(), logit_cosine(a.potential, b.potential).nanmean()])


def nearer_of_both(a: Both, b: Both) -> Float[Tensor, ""]:
    """The smaller of two distances, each in standard deviations of independent models', from the twin's upwards.

    0 on a twin; independent models lie about the larger of the two means over standard deviations. Only the order means
    something: how far one is below what independent models show.
    """
    mean, spread = a.units.unbind(1)
    spread = spread.clamp(min=1e-6)
    return ((readings(a, b) - mean) / spread).min() + (mean / spread).max()
