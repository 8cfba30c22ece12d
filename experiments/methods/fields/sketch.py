"""ModelGiF by field embeddings: every model is a vector of fixed size, made while its field streams by."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from modelgif_core import Embedding, Paths, embed, sketch_distance
from modelgif_core.quadrature import Rule
from modelgif_core.readout import Readout
from modelgif_core.view import View


def embedded(
    model: nn.Module,
    paths: Paths,
    *,
    dims: int,
    seed: int,
    steps: int,
    rule: Rule,
    readout: Readout,
    view: View,
    cumulative: bool = True,
    times_direction: bool = True,
) -> Float[Tensor, " numbers"]:
    """The model's embedding (dims) and, behind it, which curve points are alive; settings as of `extract_field`."""
    options = {"rule": rule, "readout": readout, "view": view, "cumulative": cumulative}
    found = embed(model, paths, dims=dims, seed=seed, steps=steps, times_direction=times_direction, **options)
    return torch.cat([found.vector, found.alive.flatten().float()])


def embedding_distance(a: Tensor, b: Tensor, *, dims: int) -> float:
    """The estimate of the mean cosine distance from two such vectors: 0 (same direction) to about 2."""
    one, other = (Embedding(found[:dims], found[None, dims:] > 0, "cosine", "shared by a run") for found in (a, b))
    return sketch_distance(one, other)
