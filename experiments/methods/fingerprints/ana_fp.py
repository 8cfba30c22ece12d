"""AnaFP: how far beyond the boundary a fingerprint should lie ("AnaFP", ICLR 2026).

From an image of which the source is sure, the shortest way to its boundary (Carlini and Wagner, 2017, l2) is gone and
stretched: far enough beyond for copies to have arrived, too, not far enough for independent models. The paper derives
the lower bound from a tolerance of logits and the upper one from quantiles of independent models; here both are
quantiles along the way, of the owner's copies and of independent models. Written from the abstract and notes: no
program of the authors was at hand.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import relu

from experiments.interfaces import Offered, Samples
from experiments.networks.forward import predictions
from experiments.queries.samples import jury, pick, pool_size, refuse_candidates, refuse_none, source

HALVINGS = 12
"""Of the interval in which a boundary lies."""


def stretched_samples(
    offered: Offered,
    *,
    candidates: int,
    rate: float,
    steps: int,
    weight: float,
    quantile: float,
    longest: float,
    grid: int,
) -> Samples:
    """A budget of points in [0, 1], those with the widest room between both bounds; labels are what lies beyond.

    Nothing is drawn: the candidates are what the source is surest of.

    Args:
        offered: gives pool, budget, source, its copies for `near` and independent models for `far`.
        candidates: images to start from.
        rate: of Adam, for the way to the boundary.
        steps: of it.
        weight: of crossing the boundary against the length of the way.
        quantile: share of the copies that must have arrived, and of the independent models that must not: 0.5 to 1.
        longest: how many times as long as the way to the boundary a stretched one may be.
        grid: how many lengths up to that are tried.

    Raises:
        ValueError: if a setting is out of range, or there are no copies or no independent models.
    """
    refuse_none(rate=rate, steps=steps, weight=weight)
    if not 0.5 <= quantile <= 1:
        raise ValueError(f"quantile must lie between 0.5 and 1, not {quantile}")
    if longest <= 1 or grid < 2:
        raise ValueError(f"stretching takes a length above 1 and at least two to try, not {longest} and {grid}")
    refuse_candidates(offered.budget, candidates, pool_size(offered))
    model = source(offered)
    copies, others = jury(offered, "near"), jury(offered, "far")
    outputs = predictions(model, offered.samples.inputs)
    first, second = outputs.topk(2, dim=1).values.T
    anchors = pick(offered.samples, (first - second).argsort(descending=True)[:candidates].cpu()).inputs
    anchors = anchors.to(outputs.device)
    ways = to_boundary(model, anchors, rate=rate, steps=steps, weight=weight)
    lengths = torch.linspace(1, longest, grid + 1, device=anchors.device)[1:]
    points = (anchors + lengths.view(-1, 1, 1, 1, 1) * ways).clamp(0, 1)  # (lengths, anchors, ...)
    beyond = predictions(model, points[0]).argmax(1)
    near, far = (_arrived([*models], points, beyond) for models in ([model, *copies], others))
    at, slack = placed(near, far, quantile=quantile)
    best = slack.argsort(descending=True, stable=True)[: offered.budget]
    return Samples(points[at[best], best].cpu(), beyond[best].cpu())


def to_boundary(
    model: nn.Module, images: Float[Tensor, "images ..."], *, rate: float, steps: int, weight: float
) -> Float[Tensor, "images ..."]:
    """From each image the short way after which the model just answers another class, by Carlini and Wagner's loss.

    The squared length plus `weight` times what the first class leads by, by Adam; then the way is cut where it first
    crosses. One that never crosses stays as long as it got.
    """
    first = predictions(model, images).argmax(1)
    way = torch.zeros_like(images).requires_grad_()
    descent = torch.optim.Adam([way], lr=rate)
    found = torch.zeros_like(images)
    shortest = torch.full((len(images),), torch.inf, device=images.device)
    for _ in range(steps):
        outputs = model((images + way).clamp(0, 1))
        lead = outputs.gather(1, first[:, None])[:, 0] - outputs.scatter(1, first[:, None], -torch.inf).amax(1)
        length = way.flatten(1).square().sum(1)
        with torch.no_grad():
            better = (lead < 0) & (length < shortest)
            shortest[better], found[better] = length[better], way[better]
        (way.grad,) = torch.autograd.grad((length + weight * relu(lead)).sum(), way)
        descent.step()
    never = shortest.isinf()
    found[never] = way.detach()[never]
    below, above = torch.zeros_like(shortest), torch.ones_like(shortest)
    for _ in range(HALVINGS):
        middle = (below + above) / 2
        moved = (images + _times(middle, found)).clamp(0, 1)
        crossed = predictions(model, moved).argmax(1) != first
        above, below = torch.where(crossed, middle, above), torch.where(crossed, below, middle)
    return _times(above, found)


def placed(
    near: Bool[Tensor, "models lengths points"], far: Bool[Tensor, "models lengths points"], *, quantile: float
) -> tuple[Int[Tensor, " points"], Float[Tensor, " points"]]:
    """Which length each point should have, and how many lengths lie between the bounds (less than 0 if they cross).

    The lower bound is the first length at which `quantile` of the copies have arrived. The upper one is the last
    before they move on to a third class, and at which no more than 1 - `quantile` of the strangers have arrived. The
    middle of them is taken, or the lower bound if they cross.

    >>> near = torch.tensor([[[False], [True], [True], [True], [True], [False]]])
    >>> far = torch.tensor([[[False], [False], [False], [True], [True], [True]]])
    >>> [part.tolist() for part in placed(near, far, quantile=1.0)]
    [[1], [1.0]]
    >>> [part.tolist() for part in placed(near, torch.zeros_like(far), quantile=1.0)]
    [[2], [3.0]]
    """
    lengths = near.shape[1]
    enough = near.float().mean(0) >= quantile  # (lengths, points)
    few = far.float().mean(0) <= 1 - quantile + 1e-6
    lower = torch.where(enough.any(0), enough.int().argmax(0), lengths)
    gone = ~enough & (torch.arange(lengths, device=near.device)[:, None] > lower)
    upper = torch.minimum(*(torch.where(over.any(0), over.int().argmax(0), lengths) for over in (gone, ~few))) - 1
    middle = torch.where(upper > lower, (lower + upper) // 2, lower)
    return middle.clamp(max=lengths - 1), (upper - lower).float()


def _arrived(models: Sequence[nn.Module], points: Tensor, beyond: Tensor) -> Bool[Tensor, "models lengths points"]:
    flat = points.flatten(0, 1)
    return torch.stack([predictions(model, flat).argmax(1).view(points.shape[:2]) == beyond for model in models])


def _times(scale: Float[Tensor, " images"], images: Tensor) -> Tensor:
    return scale.view(-1, *[1] * (images.ndim - 1)) * images
