"""Quadrature rules on [0, 1]: a number of steps -> nodes (ascending) and weights (summing to one), in float64."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

Rule = Callable[[int], tuple[Float[Tensor, " steps"], Float[Tensor, " steps"]]]


def gauss_legendre(steps: int) -> tuple[Float[Tensor, " steps"], Float[Tensor, " steps"]]:
    """Nodes and weights that integrate polynomials of degree 2 steps - 1 exactly (the paper's rule, 50 steps).

    >>> nodes, weights = gauss_legendre(2)
    >>> round(float((weights * nodes**3).sum()), 12)
    0.25
    """
    nodes, weights = np.polynomial.legendre.leggauss(_at_least(steps, 1))
    return torch.from_numpy((1 + nodes) / 2), torch.from_numpy(weights / 2)


def riemann_left(steps: int) -> tuple[Float[Tensor, " steps"], Float[Tensor, " steps"]]:
    """Nodes at the left end of `steps` equal intervals; exact for constants."""
    return _riemann(steps, 0.0)


def riemann_right(steps: int) -> tuple[Float[Tensor, " steps"], Float[Tensor, " steps"]]:
    """Nodes at the right end of `steps` equal intervals; exact for constants."""
    return _riemann(steps, 1.0)


def riemann_middle(steps: int) -> tuple[Float[Tensor, " steps"], Float[Tensor, " steps"]]:
    """Nodes in the middle of `steps` equal intervals; exact for straight lines."""
    return _riemann(steps, 0.5)


def trapezoid(steps: int) -> tuple[Float[Tensor, " steps"], Float[Tensor, " steps"]]:
    """`steps` equally spaced nodes from 0 to 1, the two ends with half weight; exact for straight lines."""
    nodes = torch.linspace(0, 1, _at_least(steps, 2), dtype=torch.float64)
    weights = torch.full_like(nodes, 1 / (steps - 1))
    weights[[0, -1]] /= 2
    return nodes, weights


def _riemann(steps: int, offset: float) -> tuple[Tensor, Tensor]:
    nodes = (torch.arange(_at_least(steps, 1), dtype=torch.float64) + offset) / steps
    return nodes, torch.full_like(nodes, 1 / steps)


def _at_least(steps: int, least: int) -> int:
    if steps < least:
        raise ValueError(f"this rule needs at least {least} step{'s' * (least > 1)}, not {steps}")
    return steps
