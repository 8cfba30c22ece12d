"""Samples that do not fit a model, and models that cannot be compared, in one line that names them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from experiments.interfaces import Method, Pair
from experiments.networks.forward import predictions
from modelgif_core import Prepared

ERRORS = (RuntimeError, AssertionError)
"""What networks raise on inputs of a wrong shape; timm's transformers assert theirs."""


def refuse_misfit(model: nn.Module, name: str, example: Tensor) -> None:
    """Try one sample (1, ...) on a model.

    Raises:
        ValueError: if the model does not take it; names the model, the sample's shape and the network's reason.
    """
    try:
        predictions(model, example)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
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


def represented(method: Method, model: nn.Module, queries: Any, name: str, example: Tensor) -> Any:
    """The method's representation of a model.

    Raises:
        ValueError: as `named`, or if faster arithmetic was asked for that the method does without.
    """
    with named(name, model, example):
        found = method.represent(model, queries)
        if isinstance(model, Prepared):
            model.refuse_unproved()
        return found


def compared(method: Method, pair: Pair, first: Any, second: Any) -> Any:
    """The method's distance of two models' representations.

    Raises:
        ValueError: if it refuses them; names the two.
    """
    try:
        return method.distance(first, second)
    except ValueError as error:
        raise ValueError(f"{' / '.join(pair)}: {error}") from error
