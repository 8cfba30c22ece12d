"""The one loop: a testbed's models, shown a method's queries, become a table of distances."""

import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from resource import RUSAGE_SELF, getrusage
from time import perf_counter
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from experiments.interfaces import Method, Testbed
from modelgif_core import Paths


@dataclass
class Cost:
    """Samples that went through models: forward only, or forward and backward to the input."""

    forward: int = 0
    gradient: int = 0

    def count(self, inputs: Tensor) -> None:
        """Whatever asks for an input gradient is counted as one."""
        wanted = torch.is_grad_enabled() and inputs.requires_grad
        self.gradient += len(inputs) * wanted
        self.forward += len(inputs) * (not wanted)


def measure(
    testbed: Testbed,
    method: Method,
    device: torch.device,
    *,
    chunk: int = 64,
    progress: Callable[[float, float], None] = lambda done, total: None,
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Distances with index (source, target) and a column per reference point, and what they cost.

    Paths stream in chunks, so that memory holds the fields of `chunk` paths, whatever the number of reference
    points: of two models if one source is compared, of every model if all pairs are. NaN marks a dead reference.

    Raises:
        ValueError: if the samples do not fit, or a distance is infinite.
    """
    _refuse_misfit(testbed, device)
    began = perf_counter()
    selecting, measuring = Cost(), Cost()
    queries = method.queries(_counted(testbed, selecting, device))
    selected = perf_counter()
    pairs = testbed.pairs()
    chunks = list(_chunks(queries, chunk))
    columns: dict[tuple[str, str], list[Tensor]] = {pair: [] for pair in pairs}
    zoo = _counted(testbed, measuring, device).zoo
    for position, part in enumerate(chunks):
        last_use = {name: turn for turn, pair in enumerate(pairs) for name in pair}
        held: dict[str, Tensor] = {}
        for turn, pair in enumerate(pairs):
            for name in pair:
                if name not in held:
                    held[name] = _represent(method, zoo[name].load, part, name)
            distances = method.distance(held[pair[0]], held[pair[1]])
            columns[pair].append(torch.as_tensor(distances).detach().reshape(-1).double())
            for name in set(pair):
                if last_use[name] == turn:
                    del held[name]
            progress(position * len(pairs) + turn + 1, len(chunks) * len(pairs))
        return_freed_memory()
    table = pd.DataFrame([torch.cat(columns[pair]).tolist() for pair in pairs], index=_index(pairs))
    _refuse_infinite(table)
    models = len({name for pair in pairs for name in pair})
    return table, {
        "cost/forward_per_model": measuring.forward / models,
        "cost/gradient_per_model": measuring.gradient / models,
        "cost/forward_selection": selecting.forward,
        "cost/gradient_selection": selecting.gradient,
        "cost/seconds_per_model": (perf_counter() - selected) / models,
        "cost/seconds_selection": selected - began,
        "cost/peak_memory_gb": _peak_memory(),
    }


def _peak_memory() -> float:
    """The most main memory that this process has held so far, in GB (kilobytes on Linux, bytes on macOS)."""
    return getrusage(RUSAGE_SELF).ru_maxrss / (1e9 if sys.platform == "darwin" else 1e6)


def return_freed_memory() -> None:
    """Give back to the system what glibc keeps of freed fields, which would else grow with every chunk."""
    with suppress(AttributeError, OSError, TypeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def _chunks(queries: Any, size: int) -> Iterator[Any]:
    return queries.split(size) if isinstance(queries, Paths) else iter([queries])


def _represent(method: Method, load: Callable[[], nn.Module], queries: Any, name: str) -> Tensor:
    try:
        return method.represent(load(), queries).cpu()
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _counted(testbed: Testbed, cost: Cost, device: torch.device) -> Any:
    """The same testbed, whose models load onto the device, in eval mode, and count what passes through them."""

    def load(original: Callable[[], nn.Module]) -> nn.Module:
        model = original().to(device).eval()
        # A closure, because copying a model would copy a bound method together with its cost.
        model.register_forward_pre_hook(lambda module, inputs: cost.count(inputs[0]))
        return model

    zoo = {name: replace(model, load=partial(load, model.load)) for name, model in testbed.zoo.items()}
    return replace(testbed, zoo=zoo)  # pyright: ignore[reportArgumentType, reportCallIssue] -- every testbed is a dataclass


def _index(pairs: list[tuple[str, str]]) -> pd.MultiIndex:
    return pd.MultiIndex.from_tuples(pairs, names=["source", "target"])


def _refuse_misfit(testbed: Testbed, device: torch.device) -> None:
    """Try one sample on the first model, so that images of a wrong size are named as such."""
    name, sample = testbed.pairs()[0][0], testbed.samples.inputs[:1]
    model = testbed.zoo[name].load().to(device).eval()
    try:
        with torch.no_grad():
            model(sample.to(device))
    except RuntimeError as error:
        shape = tuple(sample.shape[1:])
        raise ValueError(f"samples {shape} do not fit the model {name}: {str(error).splitlines()[0]}") from error


def _refuse_infinite(table: pd.DataFrame) -> None:
    infinite = table.index[(table.abs() == float("inf")).any(axis=1)]
    if len(infinite):
        raise ValueError(f"distance of {' / '.join(infinite[0])} is infinite")
