"""Controls that should not work: what they reach, a method has not earned."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from experiments.networks.reinitialised import reinitialised
from experiments.storage.identity import digest, fingerprint


def random_init(model: nn.Module, queries: Any, *, represent: Callable[[nn.Module, Any], Tensor], seed: int) -> Tensor:
    """Representation of the same architecture before any training: what its shape alone tells.

    Every model of one architecture gets the same fresh weights, so models of the victim's architecture are at
    distance zero, stolen or not.
    """
    return represent(reinitialised(model, seed), queries)


def untrained(model: nn.Module, queries: Any, *, represent: Callable[[nn.Module, Any], Tensor], seed: int) -> Tensor:
    """Representation of the same architecture before any training, from random weights of each model's own.

    Every number of the model counts: models that share all but one entry of a tensor have nulls of their own, too.
    """
    state = {name: fingerprint(tensor) for name, tensor in model.state_dict().items()}
    own = int(digest(state)[:8], 16)
    return random_init(model, queries, represent=represent, seed=seed + own)
