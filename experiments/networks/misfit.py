"""Samples that do not fit a model, in one line that names both."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from experiments.networks.forward import predictions

ERRORS = (RuntimeError, AssertionError)
"""What networks raise on inputs of a wrong shape; timm's transformers assert theirs."""


def refuse_misfit(model: nn.Module, name: str, example: Tensor) -> None:
    """Try one sample (1, ...) on a model.

    Raises:
        ValueError: if the model does not take it; names the model, the sample's shape and the network's reason.
    """
    try:
        predictions(model, example)
    except ERRORS as error:
        shape, reason = tuple(example.shape[1:]), (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"samples {shape} do not fit the model {name}: {reason}") from error


@contextmanager
def named(name: str, model: nn.Module, example: Tensor) -> Iterator[None]:
    """What goes wrong with a model names it, and the samples if it takes not even one of them.

    Raises:
        ValueError: for a ValueError within, and for any error of a model that the sample does not fit.
    """
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    except ERRORS:
        refuse_misfit(model, name, example)
        raise
