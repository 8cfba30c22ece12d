"""What models answer: forward passes without gradients."""

import torch
from torch import Tensor, nn

from modelgif_core.prepared import computes_in


class NotFinite(ValueError):
    """A model's outputs, or a loss, are NaN or infinite."""


def device_of(model: nn.Module, inputs: Tensor) -> torch.device:
    """Where the model's weights lie; where the inputs do if it has none."""
    return next((p.device for p in model.parameters()), inputs.device)


def predictions(model: nn.Module, inputs: Tensor, *, batch_size: int = 256) -> Tensor:
    """The model's outputs on all inputs, on its device, in eval mode and without gradients.

    It is shown them in its own precision; what answers in half precision is given back in single.
    """
    model.eval()
    like = computes_in(model, inputs)
    with torch.no_grad():
        # A copy, because a model's first layer may work in place.
        parts = [model(part.to(like, copy=True)) for part in inputs.split(batch_size)]
    if not isinstance(parts[0], Tensor):
        raise ValueError(
            f"the model answers with a {type(parts[0]).__name__}, where a tensor is needed: wrap it in a module that "
            "returns one, such as model(inputs)['logits']"
        )
    outputs = torch.cat(parts)
    return outputs.float() if outputs.dtype in (torch.float16, torch.bfloat16) else outputs


def accuracy(model: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    """Share of inputs whose largest logit is the label's."""
    return float((predictions(model, inputs).argmax(1) == labels).float().mean())


def logits(model: nn.Module, inputs: Tensor) -> Tensor:
    """The model's outputs as `predictions`.

    Raises:
        NotFinite: if an output is not.
    """
    outputs = predictions(model, inputs)
    if not torch.isfinite(outputs).all():
        raise NotFinite("outputs are not finite")
    return outputs


def log_odds(outputs: Tensor, labels: Tensor) -> Tensor:
    """log(p / (1 - p)) of each row's true class (n,): any number, 0 if p is a half; exact where p rounds to 0 or 1."""
    true = labels[:, None]
    return outputs.gather(1, true)[:, 0] - outputs.scatter(1, true, -torch.inf).logsumexp(1)
