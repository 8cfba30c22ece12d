"""Attribution maps as representations, by captum: the single-map ancestors of the gradient field.

Integrated gradients (Sundararajan et al., 2017) is the field's last step; gradient x input (Shrikumar et al., 2016)
needs one gradient instead of fifty. Both follow each model's own predicted class, like the field.
"""

import torch
from captum.attr import InputXGradient, IntegratedGradients
from jaxtyping import Float
from torch import Tensor, nn

from experiments.queries import logits
from modelgif_core import Paths


def integrated_gradients(model: nn.Module, paths: Paths, *, steps: int) -> Float[Tensor, "paths 1 dims"]:
    """Integrated gradients from each path's start to its end, by Gauss-Legendre quadrature, as one-step fields."""
    device, target = _device(model, paths), logits(model, paths.ends).argmax(1)
    maps = IntegratedGradients(model, multiply_by_inputs=True).attribute(
        paths.ends.to(device),
        baselines=paths.starts.contiguous().to(device),
        target=target.to(device),
        n_steps=steps,
        method="gausslegendre",
        internal_batch_size=max(len(paths), 256),
    )
    return maps.flatten(1)[:, None].float().cpu()


def gradient_x_input(model: nn.Module, paths: Paths) -> Float[Tensor, "paths 1 dims"]:
    """Gradient at each path's end times the input there, as one-step fields."""
    device, target = _device(model, paths), logits(model, paths.ends).argmax(1)
    parts = zip(paths.ends.split(256), target.split(256), strict=True)
    maps = [
        InputXGradient(model).attribute(ends.to(device, copy=True).requires_grad_(), target=labels.to(device))
        for ends, labels in parts
    ]
    return torch.cat(maps).detach().flatten(1)[:, None].float().cpu()


def _device(model: nn.Module, paths: Paths) -> torch.device:
    return next((p.device for p in model.parameters()), paths.ends.device)
