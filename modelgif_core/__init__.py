"""Gradient fields of models and distances between them; needs torch, numpy and jaxtyping alone."""

from modelgif_core.distance import absolute_cosine, cosine, euclidean, frechet, pairwise_cosine, standardised_cosine
from modelgif_core.fast import Fast
from modelgif_core.field import Field, dead_paths, extract_field
from modelgif_core.fold import fold_batchnorm
from modelgif_core.paths import Paths
from modelgif_core.prepared import Prepared, prepared
from modelgif_core.sketch import Embedding, embed, sketch_distance, sketch_distances
from modelgif_core.view import colour_mean, flat

__all__ = [
    "Embedding",
    "Fast",
    "Field",
    "Paths",
    "Prepared",
    "absolute_cosine",
    "colour_mean",
    "cosine",
    "dead_paths",
    "embed",
    "euclidean",
    "extract_field",
    "flat",
    "fold_batchnorm",
    "frechet",
    "pairwise_cosine",
    "prepared",
    "sketch_distance",
    "sketch_distances",
    "standardised_cosine",
]
