"""A model as a vector: its field in a few thousand numbers, whose inner products are field distances.

The mean cosine distance of two fields is exactly one minus the inner product of two vectors: every curve point scaled
to length 1, all of them stacked and divided by the root of their number. A count sketch (Charikar et al., 2002) keeps
inner products of such vectors without holding them: each coordinate is added, with a random sign, to one of `dims`
numbers. It is accumulated while the field streams by, and models that were never seen together can be compared later.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from inspect import signature
from math import sqrt
from typing import Any, TypedDict, Unpack

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from modelgif_core.distance import unit
from modelgif_core.field import WORTH_PREPARING, Field, extract_field, usual_batch, whole_paths
from modelgif_core.paths import USUAL_STEPS, Paths, held_at_once, widest
from modelgif_core.prepared import Prepared, computes_in, prepared
from modelgif_core.quadrature import Rule
from modelgif_core.readout import Readout
from modelgif_core.view import View

METRICS = ("cosine", "euclidean")
AT_ONCE = 2**14
"""Coordinates that are sketched at a time."""


@dataclass(frozen=True)
class Embedding:
    """A model's field on one reference set, sketched."""

    vector: Float[Tensor, " dims"]
    dead: Int[Tensor, "stretches 2"]
    """Where the field vanishes: first and last of each stretch of curve points, numbered path * steps + step."""
    points: Int[Tensor, ""]
    """How many curve points there are: paths * steps."""
    metric: str
    reference: str
    """Names the reference set: paths, how the field was extracted, seed. Only equal ones can be compared."""

    @property
    def relative_error(self) -> float:
        """Standard error of a distance, as a share of it: sqrt(2 / dims) for cosine, half of that for euclidean."""
        return sqrt(2 / len(self.vector)) / (1 if self.metric == "cosine" else 2)


class Extraction(TypedDict, total=False):
    """Settings of `extract_field`."""

    steps: int
    rule: Rule
    readout: Readout
    cumulative: bool
    times_direction: bool
    view: View
    batch_size: int | None


def embed(
    model: nn.Module,
    paths: Paths,
    *,
    dims: int = 4096,
    seed: int = 0,
    metric: str = "cosine",
    chunk: int = 16,
    **extraction: Unpack[Extraction],
) -> Embedding:
    """The model's field embedding, on the CPU.

    Its size and the memory it takes do not depend on the number of paths or steps: beside `dims` numbers it keeps only
    where the field vanishes, exactly, at 16 bytes a stretch, and a model that works has few of these or none.

    Args:
        model: any differentiable module that maps a batch of inputs to one tensor; prepared here unless it is already.
        paths: where to follow it.
        dims: numbers to keep; they set the error of a distance, see `Embedding.relative_error`.
        seed: draws buckets and signs.
        metric: `cosine` (curve points scaled to length 1) or `euclidean` (as they are). The Fréchet distance is no
            inner product and has no such form.
        chunk: paths of 50 steps whose field is held at a time, more if they have fewer steps, and as many as fill
            whole batches: a network's gradients depend, by rounding, on what else is in the batch, and behind a ReLU
            rounding may grow. Of no influence on the result but the rounding of sums.
        extraction: settings of `extract_field`.

    Raises:
        ValueError: if dims or chunk is below 1, the metric has no such form, a setting is a function that has no name
            of its own, or as `extract_field`.

    >>> linear = torch.nn.Linear(3, 1, bias=False)
    >>> a = embed(linear, Paths(torch.zeros(()), torch.rand(4, 3)), dims=512, steps=2)
    >>> len(a.vector), float(sketch_distances([a, a])[0, 1])
    (512, 0.0)
    """
    if dims < 1 or chunk < 1:
        raise ValueError(f"dims and chunk must be at least 1, not {dims} and {chunk}")
    if metric not in METRICS:
        raise ValueError(f"metric must be one of {', '.join(METRICS)}, not {metric!r}: only these are inner products")
    reference = _reference(model, paths, metric, dims, seed, extraction)
    steps, device = extraction.get("steps", USUAL_STEPS), computes_in(model, paths.ends).device
    if not isinstance(model, Prepared) and len(paths) * steps >= WORTH_PREPARING:
        model = prepared(model, paths.ends[:1])
    together = whole_paths(extraction.get("batch_size") or usual_batch(paths, device), steps)
    chunk = -(-held_at_once(chunk, steps) // together) * together
    vector = torch.zeros(dims, dtype=widest(device), device=device)
    chunks = ((first, paths[first : first + chunk]) for first in range(0, len(paths), chunk))
    # A field has no name here, so that it is gone before the next one is made.
    alive = [_add(vector, extract_field(model, part, **extraction), metric, seed, first) for first, part in chunks]
    lives = torch.cat(alive).cpu()
    vector /= sqrt(len(lives))
    return Embedding(vector.float().cpu(), _stretches(~lives), torch.tensor(len(lives)), metric, reference)


def sketch_distances(embeddings: Sequence[Embedding]) -> Float[Tensor, "models models"]:
    """Distances between all models, by one matrix product: 0 on twins, symmetric.

    For cosine an unbiased estimate of one minus the cosine, averaged over all curve points where neither field
    vanishes: 0 (same direction) to about 2; `modelgif_core.cosine` averages each path first, which is the same as long
    as fields vanish on whole paths or nowhere; NaN where no point is left. For euclidean, of the root mean square
    length of the difference at all points, where a field that vanishes is 0.

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
    points = int(embeddings[0].points)
    dead = torch.zeros(len(embeddings), points, dtype=torch.bool)
    for row, embedding in zip(dead, embeddings, strict=True):
        for first, last in embedding.dead.tolist():
            row[first : last + 1] = True
    dead = dead[:, dead.any(0)].double()
    common, either = dead @ dead.T, dead.sum(1)
    both = points - (either[:, None] + either - common)
    lonely = either[:, None] + either - 2 * common  # a point where one field vanishes adds 1/2 that means nothing
    found = (half * points - lonely / 2).clamp(min=0) / both
    return found.masked_fill(both == 0, torch.nan).float()


def sketch_distance(a: Embedding, b: Embedding) -> float:
    """The distance of two models from their embeddings; see `sketch_distances`."""
    return float(sketch_distances([a, b])[0, 1])


def _add(vector: Tensor, field: Field, metric: str, seed: int, first: int) -> Tensor:
    """Add the field of the paths from the one numbered `first` to a sketch; returns at which points it is alive."""
    for position, points in enumerate(unit(field) if metric == "cosine" else field, start=first):
        for buckets, values in _signed(points, len(vector), seed, position):
            vector.index_add_(0, buckets, values.to(vector.dtype))
    return field.any(2).flatten()


def _signed(
    points: Float[Tensor, "steps dims"], dims: int, seed: int, position: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Buckets of a path's coordinates, and the coordinates under random signs, some at a time; whatever the chunk."""
    # Drawn on the CPU, because other devices draw other numbers.
    generator = torch.Generator().manual_seed(seed * 1_000_003 + position)
    for part in points.flatten().split(AT_ONCE):
        drawn = torch.randint(2 * dims, part.shape, generator=generator).to(points.device)
        yield drawn >> 1, torch.where((drawn & 1).bool(), part, -part)


def _stretches(dead: Tensor) -> Int[Tensor, "stretches 2"]:
    """First and last index of each run of True."""
    edges = torch.diff(dead.int(), prepend=torch.zeros(1).int(), append=torch.zeros(1).int())
    return torch.stack([(edges == 1).nonzero()[:, 0], (edges == -1).nonzero()[:, 0] - 1], 1)


def _reference(model: nn.Module, paths: Paths, metric: str, dims: int, seed: int, extraction: Mapping[str, Any]) -> str:
    if isinstance(model, Prepared) and model.fast is not None:
        extraction = {**extraction, "fast": model.fast}
    usual = {key: setting.default for key, setting in signature(extract_field).parameters.items()}
    given = {**usual, **extraction}  # what is left out is the same as what is named
    settings = {key: _name(given[key]) for key in sorted(given.keys() - {"model", "paths", "batch_size"})}
    total = hashlib.sha256(f"{metric} {dims} {seed} {settings}".encode())
    for part in (paths.starts, paths.ends, paths.labels):
        if part is not None:
            total.update(_content(part))
    return total.hexdigest()[:16]


def _content(part: Tensor) -> bytes:
    return f"{part.dtype} {tuple(part.shape)}".encode() + part.detach().cpu().contiguous().numpy().tobytes()


def _name(value: Any) -> str:
    """A setting's name: the same for the same setting in every process, and for no other."""
    if isinstance(value, partial):
        named = [*map(_name, value.args), *(f"{k}={_name(v)}" for k, v in sorted(value.keywords.items()))]
        return f"{_name(value.func)}({', '.join(named)})"
    if isinstance(value, Tensor):
        return hashlib.sha256(_content(value)).hexdigest()[:16]
    name = f"{value.__module__}.{value.__qualname__}" if hasattr(value, "__qualname__") else repr(value)
    if "<lambda>" in name or "<locals>" in name or " at 0x" in name:
        raise ValueError(
            f"{name} has no name that tells it from others; hand over a function defined at the top of a module, or a "
            "functools.partial of one"
        )
    return name
