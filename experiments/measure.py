"""The one loop: a testbed's models, shown a method's queries, become a table of distances."""

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from time import perf_counter
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from experiments.interfaces import Method, Pair, Testbed, Zoo, ZooModel
from experiments.memory import return_freed_memory, reuse_freed_memory, rise
from experiments.networks import misfit
from experiments.offers import comparable, offered, refuse_unmet
from modelgif_core import Paths
from modelgif_core.paths import held_at_once

Progress = Callable[[float, float], None]
Columns = dict[Pair, array]
"""Distances so far; arrays, because a small tensor for each chunk would outweigh its numbers."""
NUMBER = 4
"""Bytes of one number of a field."""


@dataclass
class Cost:
    """Samples that went through models: forward only, and back to the input, or to the weights."""

    forward: int = 0
    gradient: int = 0
    weight_gradient: int = 0

    def count(self, model: nn.Module, inputs: Tensor) -> None:
        """Input gradients, or derivatives along a direction, are counted as such; weights have theirs where they alone
        may move."""
        backward = torch.is_grad_enabled()
        if (backward and inputs.requires_grad) or forward_ad.unpack_dual(inputs).tangent is not None:
            self.gradient += len(inputs)
        elif backward and any(parameter.requires_grad for parameter in model.parameters()):
            self.weight_gradient += len(inputs)
        else:
            self.forward += len(inputs)


@dataclass
class Kept:
    """Models made by name, and kept where they are needed again, as far as there is room for them."""

    make: Callable[[str], nn.Module]
    room: float
    """Bytes."""

    def __post_init__(self) -> None:
        self._models: dict[str, nn.Module] = {}

    def __call__(self, name: str, *, again: bool = True) -> nn.Module:
        """The model, kept from before or made now."""
        model = self._models.pop(name, None)
        model = self.make(name) if model is None else model
        # The first ones stay: of models that come in turns, the longest unused is the next one needed.
        if again and sum(map(_bytes, [model, *self._models.values()])) <= self.room:
            self._models[name] = model
        return model


def measure(
    testbed: Testbed,
    method: Method,
    device: torch.device,
    *,
    chunk: int = 32,
    memory_gb: float = 4,
    progress: Progress = lambda done, total: None,
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Distances with index (source, target) and a column per reference point, and what they cost.

    Paths stream in chunks of `chunk` paths of 50 gradients (of more, if a method takes fewer). Where few sources meet
    many models, models stream: the sources' representations of as many chunks as fit into `memory_gb` are held, and
    every other model is opened once for all of these. Where all meet all, chunks stream, each as large as lets
    everybody's representation fit, and models stay open as far as they fit. NaN marks a dead reference.

    Raises:
        ValueError: if the method and the testbed, or the samples and the models, do not fit, or a distance is infinite.
    """
    refuse_unmet(method, testbed)
    reuse_freed_memory()
    risen, began, cost = rise(device), perf_counter(), Cost()
    pairs = comparable(method, testbed)
    names = {name for pair in pairs for name in pair}
    opened = Kept(lambda name: _opened(testbed.zoo[name], device, cost), memory_gb * 1e9)
    example = testbed.samples.inputs[:1].to(device)
    misfit.refuse_misfit(opened(pairs[0][0]), pairs[0][0], example)
    queries = _selected(method, testbed, lambda name: opened(name, again=name in names), example)
    selecting, selected = replace(cost), perf_counter()
    ready = Kept(lambda name: _ready(method, opened(name, again=False), name, example), opened.room)
    table = _table(_compared(method, queries, pairs, testbed.zoo, ready, chunk, progress, example))
    _refuse_infinite(table)
    models = len(names)
    found = {
        "cost/forward_per_model": (cost.forward - selecting.forward) / models,
        "cost/gradient_per_model": (cost.gradient - selecting.gradient) / models,
        "cost/weight_gradient_per_model": (cost.weight_gradient - selecting.weight_gradient) / models,
        "cost/forward_selection": selecting.forward,
        "cost/gradient_selection": selecting.gradient,
        "cost/seconds_per_model": (perf_counter() - selected) / models,
        "cost/seconds_selection": selected - began,
    }
    most = risen()
    return table, found if most is None else found | {"cost/peak_memory_gb": most}


def _selected(method: Method, testbed: Testbed, opened: Callable[[str], nn.Module], example: Tensor) -> Any:
    """The method's queries; a model that they were to be chosen with and that the samples do not fit is named."""
    shown: dict[str, None] = {}

    def show(name: str) -> nn.Module:
        shown[name] = None
        return opened(name)

    try:
        return method.queries(offered(method, testbed, show))
    except misfit.ERRORS:
        for name in shown:
            misfit.refuse_misfit(opened(name), name, example)
        raise


def _compared(
    method: Method,
    queries: Any,
    pairs: list[Pair],
    zoo: Zoo,
    ready: Kept,
    chunk: int,
    progress: Progress,
    example: Tensor,
) -> Columns:
    """Every pair's distances, the queries in blocks of chunks: sources first, then whom they meet."""
    sources = list(dict.fromkeys(source for source, _ in pairs))
    names = list(dict.fromkeys([*sources, *(target for _, target in pairs)]))
    few = 2 * len(sources) <= len(names)
    shown = {None: queries} | {name: show(queries) for name in names if (show := zoo[name].shown)}
    blocks = [{whom: [given] for whom, given in shown.items()}]
    if method.steps is not None:
        if not isinstance(queries, Paths):
            raise ValueError(f"{method.label}: steps are those of paths, and its queries are {type(queries).__name__}")
        held = len(sources) * max(1, method.steps) * queries.ends[0].numel() * NUMBER  # a path; views make it less
        fit = max(1, int(ready.room / held))
        size = min(held_at_once(chunk, method.steps), fit)
        chunks = {whom: list(given.split(size)) for whom, given in shown.items()}
        together = fit // size if few else 1
        blocks = [
            {whom: parts[first : first + together] for whom, parts in chunks.items()}
            for first in range(0, len(chunks[None]), together)
        ]
    columns: Columns = {pair: array("d") for pair in pairs}
    done, total = 0, len(names) * sum(len(block[None]) for block in blocks)

    def represented(name: str, block: dict[str | None, list[Any]]) -> Iterator[Any]:
        nonlocal done
        model = ready(name, again=block is not blocks[-1])
        for part in block.get(name, block[None]):
            yield misfit.represented(method, model, part, name, example)
            done += 1
            progress(done, total)

    products = not few and method.pairwise is not None and len(pairs) >= len(names) * (len(names) - 1) / 2
    compare = partial(_by_products, method) if products else partial(_one_by_one, method, sources)
    for block in blocks:
        for pair, distances in compare(names, pairs, partial(represented, block=block)):
            columns[pair].extend(torch.as_tensor(distances).detach().reshape(-1).cpu().double().tolist())
        return_freed_memory()
    return columns


def _one_by_one(
    method: Method, sources: list[str], names: list[str], pairs: list[Pair], given: Callable[[str], Iterator[Any]]
) -> Iterator[tuple[Pair, Any]]:
    """Sources are held; whom they meet is shown a chunk and forgotten."""
    held = {name: list(given(name)) for name in sources}
    for target in names:
        met = [pair for pair in pairs if pair[1] == target]
        for position, representation in enumerate(held[target] if target in held else given(target)):
            for pair in met:
                yield pair, misfit.compared(method, pair, held[pair[0]][position], representation)
        if target not in held:
            return_freed_memory()


def _by_products(
    method: Method, names: list[str], pairs: list[Pair], given: Callable[[str], Iterator[Any]]
) -> Iterator[tuple[Pair, Tensor]]:
    """All pairs of a chunk at once, the first held to the method's own distance."""
    assert method.pairwise is not None
    first = [part for name in names[:2] for part in given(name)]
    expected = torch.as_tensor(misfit.compared(method, (names[0], names[1]), *first)).cpu()
    others = (part for name in names[2:] for part in given(name))
    found = method.pairwise(chain(_emptied(first), others), len(names)).cpu()
    if not torch.allclose(found[0, 1].to(expected), expected, rtol=1e-3, atol=1e-4, equal_nan=True):
        raise ValueError(
            f"{method.label}: its distances of all pairs at once are not its own; set method.pairwise=null"
        )
    for source, target in pairs:
        yield (source, target), found[names.index(source), names.index(target)]


def _emptied(parts: list[Any]) -> Iterator[Any]:
    """The parts, each let go when it has been taken."""
    while parts:
        yield parts.pop(0)


def _ready(method: Method, model: nn.Module, name: str, example: Tensor) -> nn.Module:
    if method.prepare is None:
        return model
    with misfit.named(name, model, example):
        return method.prepare(model, example)


def _opened(model: ZooModel, device: torch.device, cost: Cost) -> nn.Module:
    """The model on the device, in eval mode; what passes through it, or a copy of it, is counted."""
    found = model.load().to(device).eval()
    # A closure, because copying a model would copy a bound method together with its cost.
    found.register_forward_pre_hook(lambda module, inputs: cost.count(module, inputs[0]))
    return found


def _bytes(model: nn.Module) -> int:
    return sum(tensor.nbytes for tensor in chain(model.parameters(), model.buffers()))


def _table(columns: Columns) -> pd.DataFrame:
    return pd.DataFrame(columns.values(), index=pd.MultiIndex.from_tuples(columns, names=["source", "target"]))


def _refuse_infinite(table: pd.DataFrame) -> None:
    infinite = table.index[(table.abs() == float("inf")).any(axis=1)]
    if len(infinite):
        raise ValueError(f"distance of {' / '.join(infinite[0])} is infinite")
