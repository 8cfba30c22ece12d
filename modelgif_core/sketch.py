"""A model as a vector: its field in a few thousand numbers, whose inner products are field distances.

The mean cosine distance of two fields is exactly one minus the inner product of two vectors: every curve point scaled
to length 1, all of them stacked and divided by the root of their number. A count sketch (Charikar et al., 2002) keeps
inner products of such vectors without holding them: each coordinate is added, with a random sign, to one of `dims`
numbers. It is accumulated while the field streams by, and models that were never seen together can be compared later.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import sqrt
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from modelgif_core.distance import unit
from modelgif_core.field import Field, extract_field
from modelgif_core.paths import USUAL_STEPS, Paths, held_at_once

METRICS = ("cosine", "euclidean")
AT_ONCE = 2**14
"""Coordinates that are sketched at a time."""


@dataclass(frozen=True)
class Embedding:
    """A model's field on one reference set, sketched."""

    vector: Float[Tensor, " dims"]
    alive: Bool[Tensor, "paths steps"]
    """Where the field does not vanish."""
    metric: str
    reference: str
    """Names the reference set: paths, how the field was extracted, seed. Only equal ones can be compared."""

    @property
    def relative_error(self) -> float:
        """Standard error of a distance, as a share of it: sqrt(2 / dims) for cosine, half of that for euclidean."""
        return sqrt(2 / len(self.vector)) / (1 if self.metric == "cosine" else 2)


def embed(
    model: nn.Module,
    paths: Paths,
    *,
    dims: int = 4096,
    seed: int = 0,
    metric: str = "cosine",
    chunk: int = 16,
    **extraction: Any,
) -> Embedding:
    """The model's field embedding; its size and the memory it takes do not depend on the number of paths or steps.

    Args:
        model: any differentiable module that maps a batch of inputs to one tensor.
        paths: where to follow it.
        dims: numbers to keep; they set the error of a distance, see `Embedding.relative_error`.
        seed: draws buckets and signs.
        metric: `cosine` (curve points scaled to length 1) or `euclidean` (as they are). The Fréchet distance is no
            inner product and has no such form.
        chunk: paths of 50 steps whose field is held at a time, more if they have fewer steps; of no influence on the
            result but rounding.
        extraction: settings of `extract_field`.

    Raises:
        ValueError: if dims or chunk is below 1, the metric has no such form, or as `extract_field`.

    >>> linear = torch.nn.Linear(3, 1, bias=False)
    >>> a = embed(linear, Paths(torch.zeros(()), torch.rand(4, 3)), dims=512, steps=2)
    >>> len(a.vector), float(sketch_distances([a, a])[0, 1])
    (512, 0.0)
    """
    if dims < 1 or chunk < 1:
        raise ValueError(f"dims and chunk must be at least 1, not {dims} and {chunk}")
    if metric not in METRICS:
        raise ValueError(f"metric must be one of {', '.join(METRICS)}, not {metric!r}: only these are inner products")
    vector = torch.zeros(dims, dtype=torch.float64)
    chunk = held_at_once(chunk, extraction.get("steps", USUAL_STEPS))
    chunks = ((first, paths[first : first + chunk]) for first in range(0, len(paths), chunk))
    # A field has no name here, so that it is gone before the next one is made.
    alive = [_add(vector, extract_field(model, part, **extraction), metric, seed, first) for first, part in chunks]
    lives = torch.cat(alive)
    vector /= sqrt(lives.numel())
    return Embedding(vector.float(), lives, metric, _reference(paths, metric, dims, seed, extraction))


def sketch_distances(embeddings: Sequence[Embedding]) -> Float[Tensor, "models models"]:
    """Distances between all models, by one matrix product: 0 on twins, symmetric.

    For cosine an unbiased estimate of one minus the cosine, averaged over all curve points where neither field
    vanishes: 0 (same direction) to about 2; `modelgif_core.cosine` averages each path first, which is the same as long
    as fields vanish on whole paths or nowhere. For euclidean, of the root mean square length of the difference. NaN
    where no point is left.

    Raises:
        ValueError: if there is none, or they were made on different reference sets.
    """
    if not embeddings:
        raise ValueError("there is no embedding to compare")
    strangers = sorted({embedding.reference for embedding in embeddings})
    if len(strangers) > 1:
        raise ValueError(f"embeddings of different reference sets cannot be compared: {', '.join(strangers)}")
    vectors = torch.stack([embedding.vector for embedding in embeddings]).double()
    products = vectors @ vectors.T
    squares = products.diagonal()
    # Half the squared distance of sketches, not one minus their product: it is 0 on twins, and exact for near models.
    half = ((squares[:, None] + squares) / 2 - products).clamp(min=0)
    if embeddings[0].metric == "euclidean":
        return (2 * half).sqrt().fill_diagonal_(0).float()
    alive = torch.stack([embedding.alive.flatten() for embedding in embeddings]).double()
    both, either = alive @ alive.T, alive.sum(1)
    lonely = either[:, None] + either - 2 * both  # a point where one field vanishes adds 1/2 that means nothing
    found = (half * alive.shape[1] - lonely / 2).clamp(min=0) / both
    return found.masked_fill(both == 0, torch.nan).fill_diagonal_(0).float()


def sketch_distance(a: Embedding, b: Embedding) -> float:
    """The distance of two models from their embeddings; see `sketch_distances`."""
    return float(sketch_distances([a, b])[0, 1])


def _add(vector: Tensor, field: Field, metric: str, seed: int, first: int) -> Bool[Tensor, "paths steps"]:
    """Add the field of the paths from the one numbered `first` to a sketch; returns where it does not vanish."""
    for position, points in enumerate(unit(field) if metric == "cosine" else field, start=first):
        for buckets, values in _signed(points, len(vector), seed, position):
            vector.index_add_(0, buckets, values)
    return field.any(2)


def _signed(
    points: Float[Tensor, "steps dims"], dims: int, seed: int, position: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Buckets of a path's coordinates, and the coordinates under random signs, some at a time; whatever the chunk."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + position)
    for part in points.flatten().split(AT_ONCE):
        drawn = torch.randint(2 * dims, part.shape, generator=generator)
        signs = (drawn & 1).double() * 2 - 1
        yield drawn >> 1, part.double() * signs


def _reference(paths: Paths, metric: str, dims: int, seed: int, extraction: dict[str, Any]) -> str:
    settings = {key: _name(value) for key, value in sorted(extraction.items()) if key != "batch_size"}
    total = hashlib.sha256(f"{metric} {dims} {seed} {settings}".encode())
    for part in (paths.starts, paths.ends, paths.labels):
        if part is not None:
            total.update(f"{part.dtype} {tuple(part.shape)}".encode())
            total.update(part.detach().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()[:16]


def _name(value: Any) -> str:
    if isinstance(value, partial):
        return f"{_name(value.func)}({', '.join(f'{k}={_name(v)}' for k, v in sorted(value.keywords.items()))})"
    return f"{value.__module__}.{value.__qualname__}" if callable(value) else repr(value)
