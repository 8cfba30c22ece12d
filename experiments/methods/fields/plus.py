"""ModelGiF+: a function is its values and its slopes, read at the same points, each in units that models show.

ModelGiF asks where a function leads along paths. Its potential is where it is: the outputs at the paths' ends, to whose
change the field sums by completeness. Its slope is what decides there: the gradient of the log-odds of the source's
answer. What one of them cannot see another may, so that no sum and no mean serves, but one of two questions:

- Does a suspect come of the source? Strangers are far in every reading, and copies betray themselves in one: the
  *nearest* reading counts, in units of strangers' distances from the source.
- Is a suspect like models that are known to be what is asked for (to have been retrained)? A fake imitates one reading,
  and whoever is alike is so in all: the *farthest* counts, in units of those models' distances from each other.

Exploratory: no paper proposes it. docs/findings/stronger.md says how it was chosen and what it is worth.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from experiments.interfaces import Offered, Samples, ZooModel
from experiments.methods.outputs.pointwise import logit_cosine, outputs
from experiments.networks.forward import predictions
from experiments.queries.samples import source
from modelgif_core import Paths, extract_field
from modelgif_core.distance import PerPath, cosine
from modelgif_core.readout import Readout
from modelgif_core.view import View

Reading = Callable[[nn.Module, Paths], Tensor]
"""What is seen of one model at each of the paths: a field (paths, steps, dimensions) or outputs (paths, classes)."""
Combine = Callable[[Tensor], Tensor]
"""Standard scores (readings,) -> one."""


@dataclass(frozen=True)
class Gauge:
    """Paths, how they are read, and what distances between models that are never scored are worth there."""

    paths: Paths
    readings: Mapping[str, Reading]
    mean: Float[Tensor, "readings paths"]
    spread: Float[Tensor, "readings paths"]
    combine: Combine

    @property
    def ends(self) -> Tensor:
        """The reference points, which are shown."""
        return self.paths.ends

    def scores(self, distances: Float[Tensor, "readings paths"]) -> Float[Tensor, " readings"]:
        """Each reading's distance in standard deviations from the mean, over paths that are not dead."""
        return ((distances - self.mean.to(distances)) / self.spread.to(distances)).nanmean(1)


@dataclass(frozen=True)
class Seen:
    """One model in every reading, and the gauge that it is compared by."""

    readings: tuple[Tensor, ...]
    gauge: Gauge


def gauged_paths(
    offered: Offered,
    *,
    choose: Callable[[Offered], Paths],
    readings: Mapping[str, Reading | None],
    by_point: bool = True,
    combine: Combine | None = None,
) -> Gauge:
    """Paths labelled by the source's answers, and the units of every reading on them.

    Args:
        offered: gives pool, budget and source; models for `strangers`, which owe the source nothing, or for `alike`,
            which are what is asked for.
        choose: chooses the paths.
        readings: name -> what is seen of a model; None leaves one out.
        by_point: give each path units of its own; or one to each reading, of its mean distance.
        combine: what several readings come to; by default `nearest` where there are strangers, else `farthest`.

    Raises:
        ValueError: if there are models for both uses or none, or too few that depend on their input for a spread, or
            all readings are left out.
    """
    kept = {name: read for name, read in readings.items() if read}
    if not kept:
        raise ValueError(f"nothing is read: of {', '.join(readings)} all are left out")
    chosen, given = choose(offered), {use: models for use, models in offered.models.items() if models}
    labels = predictions(source(offered), chosen.ends).argmax(1).to(chosen.ends.device)
    paths = Paths(chosen.starts, chosen.ends, labels)
    unmeasured = Gauge(paths, kept, torch.zeros(len(kept), 1), torch.ones(len(kept), 1), nearest)
    distances = torch.stack(_distances(unmeasured, offered, given))
    over = distances if by_point else distances.nanmean(2, keepdim=True)
    mean, spread = over.nanmean(0), _deviation(over)
    # A reading's mean score is again told in what it spreads by, or many like-minded points would make it weigh more.
    of_points = Gauge(paths, kept, mean, spread, nearest)
    scores = torch.stack([of_points.scores(found) for found in distances])
    middle, width = scores.nanmean(0)[:, None], _deviation(scores)[:, None]
    combine = combine or (nearest if "strangers" in given else farthest)
    return Gauge(paths, kept, mean + middle * spread, spread * width, combine)


def _distances(gauge: Gauge, offered: Offered, given: Mapping[str, Sequence[ZooModel]]) -> list[Tensor]:
    """Distances (readings, paths) between the source and each stranger, or among models that are alike."""
    if set(given) not in ({"strangers"}, {"alike"}):
        raise ValueError(f"a gauge asks for models either for `strangers` or for `alike`, not for {sorted(given)}")
    ((use, models),) = given.items()
    seen = [see(model.load(), gauge) for model in models]
    own = see(source(offered), gauge) if use == "strangers" else None
    pairs = [(own, other) for other in seen] if own else list(combinations(seen, 2))
    found = [apart(a, b) for a, b in pairs]
    alive = [one for one in found if not one.isnan().all(1).any()]  # a model without a field tells nothing
    if len(alive) < 2:
        raise ValueError(
            f"a spread needs two distances or more; {len(models)} models for `{use}` give {len(alive)}, and "
            f"{len(found) - len(alive)} of models that do not depend on their input"
        )
    return alive


def _deviation(found: Tensor) -> Tensor:
    """Standard deviation over the first dimension, without dead paths; never 0."""
    count = found.isfinite().sum(0)
    squares = (found - found.nanmean(0)).square()
    return (squares.nansum(0) / (count - 1).clamp(min=1)).sqrt().clamp(min=1e-3)


def see(model: nn.Module, gauge: Gauge) -> Seen:
    """One model, read in every way along the gauge's paths."""
    return Seen(tuple(read(model, gauge.paths) for read in gauge.readings.values()), gauge)


def apart(a: Seen, b: Seen) -> Float[Tensor, "readings paths"]:
    """Distance of two models in every reading, at every path: one minus the cosine, 0 to 2; NaN where it is dead."""
    return torch.stack([_cosine(one, other) for one, other in zip(a.readings, b.readings, strict=True)])


def _cosine(a: Tensor, b: Tensor) -> PerPath:
    return logit_cosine(a, b) if a.ndim == 2 else cosine(a, b)


def in_units(a: Seen, b: Seen) -> Float[Tensor, ""]:
    """What the readings come to, in standard deviations from a twin's: 0 on a twin, and never less.

    Only the order means something: how far the decisive reading is from where the gauge's models are.
    """
    distances = apart(a, b)
    combine, scores = a.gauge.combine, a.gauge.scores
    twin = torch.zeros_like(distances).masked_fill(distances.isnan(), torch.nan)  # on the same paths
    return combine(scores(distances)) - combine(scores(twin))


def nearest(scores: Tensor) -> Tensor:
    """The smallest score: a resemblance in any reading counts."""
    return scores.min()


def farthest(scores: Tensor) -> Tensor:
    """The largest score: a difference in any reading counts."""
    return scores.max()


def together(scores: Tensor) -> Tensor:
    """The mean score."""
    return scores.mean()


def field(model: nn.Module, paths: Paths, *, steps: int, readout: Readout, view: View) -> Tensor:
    """Where the function leads: the field along the paths; the settings are `extract_field`'s."""
    return extract_field(model, paths, steps=steps, readout=readout, view=view)


def potential(model: nn.Module, paths: Paths) -> Float[Tensor, "paths classes"]:
    """Where the function is: the outputs at the paths' ends."""
    return outputs(model, Samples(paths.ends))


def slope(model: nn.Module, paths: Paths, *, readout: Readout, view: View) -> Tensor:
    """What decides at the paths' ends: one gradient there, (paths, 1, dimensions), as a path of no length has."""
    here = Paths(paths.ends, paths.ends, paths.labels)
    return extract_field(model, here, steps=1, cumulative=False, times_direction=False, readout=readout, view=view)
