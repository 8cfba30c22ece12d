"""What a model answers along ModelGiF's own paths: what is left of the field for whoever sees outputs only.

A field says where a function leads, its potential where it is: by completeness the field's last step sums to the
change of the followed output from start to end. Labels at the same points are the least that an API gives away. No
paper proposes either; both show what gradients add, on the same reference points.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from experiments.interfaces import Samples
from experiments.methods.outputs.pointwise import outputs
from modelgif_core import Paths
from modelgif_core.quadrature import Rule

Potential = Float[Tensor, "paths points classes"]


def potential(model: nn.Module, paths: Paths, *, steps: int, rule: Rule) -> Potential:
    """The model's logits at each path's start, at the quadrature's nodes and at the end: `steps` + 2 points.

    Raises:
        ValueError: if the model is no classifier.
    """
    inside, _ = rule(steps)
    along = torch.cat([torch.zeros(1), inside.float(), torch.ones(1)]).view(-1, *[1] * (paths.ends.ndim - 1))
    lines = (start + along * (end - start) for start, end in zip(paths.starts, paths.ends, strict=True))
    return torch.stack([outputs(model, Samples(points)) for points in lines])


def at_ends(model: nn.Module, paths: Paths) -> Float[Tensor, "paths classes"]:
    """The model's logits at each path's end alone, its reference point.

    Raises:
        ValueError: if the model is no classifier.
    """
    return outputs(model, Samples(paths.ends))


def label_walk(a: Potential, b: Potential) -> Float[Tensor, " paths"]:
    """Share of each path's points where the predicted labels differ: 0 (none) to 1 (all)."""
    return (a.argmax(2) != b.argmax(2)).float().mean(1)
