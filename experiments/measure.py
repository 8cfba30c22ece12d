"""The one loop: a testbed's models, shown a method's queries, become a table of distances."""

import ctypes
import sys
from array import array
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from math import gcd
from resource import RUSAGE_SELF, getrusage
from time import perf_counter
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from experiments.interfaces import Method, Pair, Testbed, Zoo
from modelgif_core import Paths, cosine, pairwise_cosine
from modelgif_core.paths import USUAL_STEPS, held_at_once

Represent = Callable[[str], Tensor]
Tell = Callable[[float], None]
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # glibc's names for what `mallopt` sets
HELD_AT_ONCE = 8
"""Models that are shown whole chunks when all pairs are compared; of more, fewer paths are held, and as much memory."""


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

    Paths stream in chunks, so that memory holds the fields of `chunk` paths of 50 steps (of more, if they have fewer),
    whatever the number of reference points: of two models if one source is compared, of every model if many are. If
    all pairs are, cosine distances are matrix products, and many models are shown fewer paths at a time. NaN marks a
    dead reference.

    Raises:
        ValueError: if the samples do not fit, or a distance is infinite.
    """
    _refuse_misfit(testbed, device)
    reuse_freed_memory()
    began = perf_counter()
    selecting, measuring = Cost(), Cost()
    queries = method.queries(_counted(testbed, selecting, device))
    selected = perf_counter()
    pairs = testbed.pairs()
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    zoo = _counted(testbed, measuring, device).zoo
    chunk, compare = _as_large_as(chunk, method), _one_by_one
    if _products_will_do(method, queries, pairs):
        compare, chunk = _by_products, max(1, min(chunk, HELD_AT_ONCE * chunk // len(names)))
    if method.stop:
        chunk = gcd(chunk, method.stop.every)  # looks fall on the same reference points, whatever the chunk
    chunks = list(_chunks(queries, chunk))
    columns = {pair: array("d") for pair in pairs}  # a small tensor for each chunk would outweigh its numbers
    for position, part in enumerate(chunks):

        def tell(done: float, position: int = position) -> None:
            progress((position + done) * len(pairs), len(chunks) * len(pairs))

        represent = partial(_represent, method, zoo, part)
        for pair, found in compare(represent, method.distance, pairs, tell):
            columns[pair].extend(torch.as_tensor(found).detach().reshape(-1).double().tolist())
        return_freed_memory()
        if method.stop and (position + 1) * chunk % method.stop.every == 0 and method.stop(_table(columns)):
            break
    table = _table(columns)
    _refuse_infinite(table)
    return table, {
        "cost/forward_per_model": measuring.forward / len(names),
        "cost/gradient_per_model": measuring.gradient / len(names),
        "cost/forward_selection": selecting.forward,
        "cost/gradient_selection": selecting.gradient,
        "cost/seconds_per_model": (perf_counter() - selected) / len(names),
        "cost/seconds_selection": selected - began,
        "cost/peak_memory_gb": _peak_memory(),
    }


def _peak_memory() -> float:
    """The most main memory that this process has held so far, in GB (kilobytes on Linux, bytes on macOS)."""
    return getrusage(RUSAGE_SELF).ru_maxrss / (1e9 if sys.platform == "darwin" else 1e6)


def reuse_freed_memory() -> None:
    """Let glibc serve a batch from what the last one freed: else it fetches, and clears, new pages for every one."""
    with suppress(AttributeError, OSError, TypeError):  # another C library
        library = ctypes.CDLL(None)
        library.mallopt(MMAP_THRESHOLD, 2**25)
        library.mallopt(TRIM_THRESHOLD, 2**30)


def return_freed_memory() -> None:
    """Give back to the system what glibc keeps of freed fields, which would else grow with every chunk."""
    with suppress(AttributeError, OSError, TypeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def _chunks(queries: Any, size: int) -> Iterator[Any]:
    return queries.split(size) if isinstance(queries, Paths) else iter([queries])


def _as_large_as(chunk: int, method: Method) -> int:
    """So many paths of this method's steps that their fields are as large as those of `chunk` paths of 50 steps."""
    settings = method.represent.keywords if isinstance(method.represent, partial) else {}
    return held_at_once(chunk, settings.get("steps", USUAL_STEPS))


def _products_will_do(method: Method, queries: Any, pairs: list[Pair]) -> bool:
    """Whether all pairs are measured, by a distance that comes from matrix products."""
    every = len({name for pair in pairs for name in pair})
    plain = isinstance(method.distance, partial) and method.distance.func is cosine and not method.distance.keywords
    return (
        (plain or method.distance is cosine)
        and isinstance(queries, Paths)
        and len(pairs) >= every * (every - 1) / 2 > 1
    )


def _by_products(represent: Represent, distance: Any, pairs: list[Pair], tell: Tell) -> Iterator[tuple[Pair, Tensor]]:
    names = list(dict.fromkeys(name for pair in pairs for name in pair))

    def fields() -> Iterator[Tensor]:
        for position, name in enumerate(names, start=1):
            yield represent(name)
            tell(position / len(names))

    found = pairwise_cosine(fields(), len(names))
    for source, target in pairs:
        yield (source, target), found[names.index(source), names.index(target)]


def _one_by_one(represent: Represent, distance: Any, pairs: list[Pair], tell: Tell) -> Iterator[tuple[Pair, Tensor]]:
    last_use = {name: turn for turn, pair in enumerate(pairs) for name in pair}
    held: dict[str, Tensor] = {}
    for turn, pair in enumerate(pairs):
        for name in pair:
            if name not in held:
                held[name] = represent(name)
        yield pair, distance(held[pair[0]], held[pair[1]])
        for name in set(pair):
            if last_use[name] == turn:
                del held[name]
        tell((turn + 1) / len(pairs))


def _represent(method: Method, zoo: Zoo, queries: Any, name: str) -> Tensor:
    try:
        return method.represent(zoo[name].load(), queries).cpu()
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


def _table(columns: dict[Pair, array]) -> pd.DataFrame:
    return pd.DataFrame(columns.values(), index=pd.MultiIndex.from_tuples(columns, names=["source", "target"]))


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
