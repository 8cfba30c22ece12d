"""What makes two things the same: names made of functions by their bare names and of all their settings.

Runs and trained models are named by what they are. Moving a function to another module, renaming a label or computing
on another device changes no name; another default, seed or image does.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from inspect import Parameter, signature
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import torch
from torch import Tensor

from experiments.commands.refusal import nearest

UNNAMED = frozenset({"cache", "root", "folder", "url", "device", "download", "dry_run", "quick", "zoo_scale"})
"""Settings that say where things lie or are computed, how a rehearsal is shortened, or what another setting has to be:
no part of what a thing is."""
SHOWN = frozenset({"label", "access"})
"""What tables say of a method."""
DECLARED = frozenset({"needs", "leak", "steps", "pairwise"})
"""What a method declares, and a run that is not refused has the same numbers without."""


def run(config: Mapping[str, Any]) -> dict[str, Any]:
    """What names a run: its testbed, method and seed, with all defaults; not device, folders, labels or W&B."""
    method = {key: value for key, value in config["method"].items() if key not in SHOWN}
    name, settings = described(method)
    settings = {key: value for key, value in settings.items() if key not in DECLARED}
    return {"testbed": described(config["testbed"]), "method": [name, settings], "seed": config["seed"]}


def digest(content: Any) -> str:
    """Twelve hexadecimal digits that name JSON-like content.

    >>> digest({"b": 1, "a": [2, 3]}) == digest({"a": (2, 3), "b": 1})
    True
    """
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def fingerprint(tensor: Tensor) -> str:
    """Twelve hexadecimal digits that name these very numbers; one other pixel gives others.

    >>> import torch
    >>> fingerprint(torch.zeros(2)) == fingerprint(torch.zeros(2))
    True
    """
    total = hashlib.sha256(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
    content = tensor.detach().cpu().contiguous()
    total.update((content.view(torch.int16) if content.dtype == torch.bfloat16 else content).numpy().data)
    return total.hexdigest()[:12]


def described(part: Any) -> Any:
    """A configuration, a function with its settings, or data, as JSON-like content.

    A call (a mapping with `_target_`, or a partial function) becomes its bare name with every setting that has a
    value, defaults included; settings that are None say nothing and are left out, so that a new option which is off
    renames nothing. A file counts by its name, one of weights (`<file>@<network>`) also by what is in it, a tensor by
    its numbers.

    Raises:
        ValueError: if a call has a setting that its function lacks, or a function has no name of its own.

    >>> described({"_target_": "torch.nn.functional.relu", "_partial_": True})
    ['relu', {'inplace': False}]
    """
    if isinstance(part, Mapping):
        given = {key: value for key, value in part.items() if key not in ("_target_", "_partial_", "_convert_")}
        return _call(function(part["_target_"]), given) if "_target_" in part else _settings(given)
    if isinstance(part, partial):
        inner = part.func  # Hydra's own kind of partial function is not merged into another
        if isinstance(inner, partial):
            return described(partial(inner.func, *inner.args, *part.args, **{**inner.keywords, **part.keywords}))
        return _call(inner, part.keywords, part.args)
    if isinstance(part, list | tuple):
        return [described(value) for value in part]
    if dataclasses.is_dataclass(part) and not isinstance(part, type):
        return [type(part).__name__, _settings(vars(part))]
    if isinstance(part, Tensor):
        return fingerprint(part)
    if callable(part):
        return _call(part, {})
    if isinstance(part, str) and "@" in part:
        return _with_content(part)
    return part.name if isinstance(part, Path) else part


@cache
def function(path: str) -> Callable[..., Any]:
    """What a `_target_` names.

    Raises:
        ValueError: if there is nothing of that name, or nothing that can be called.
    """
    module, _, name = path.rpartition(".")
    try:  # not by Hydra's own look-up, which prints what it does not find
        try:
            found = resolve_name(
                f"{module}:{name}" if module else name
            )  # a module may have a function of its submodule's name
        except (ImportError, AttributeError):
            found = resolve_name(path)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"there is no function {path!r}; {error}, where <module>.<name> is needed") from error
    if not callable(found):
        raise ValueError(f"{path} is no function, but a {type(found).__name__}")
    return found


def parameters(called: Callable[..., Any]) -> Mapping[str, Parameter] | None:
    """What a function takes, by name; None if it is built in, without a signature."""
    try:
        return signature(called).parameters
    except ValueError:
        return None


def refuse_unknown(name: str, known: Iterable[str], given: Iterable[str]) -> None:
    """Refuse what is given and not known, in one line that names the nearest and then all.

    >>> refuse_unknown("fit", ["epochs", "rate"], ["epoch"])
    Traceback (most recent call last):
    ...
    ValueError: fit has no setting 'epoch'; did you mean epochs? It has epochs, rate
    """
    known = list(known)
    for key in given:
        if key not in known:
            raise ValueError(f"{name} has no setting {key!r}; {nearest(key, known)}")


def file_content(file: Path) -> str:
    """Twelve hexadecimal digits that name what is in a file.

    Raises:
        OSError: if it cannot be read.
    """
    stamp = file.stat()
    return _content(file.absolute(), stamp.st_mtime_ns, stamp.st_size)


@cache
def _content(file: Path, changed: int, size: int) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()[:12]


def _with_content(text: str) -> str:
    """A file of weights and its network by the file's name and content; other text as it is."""
    file, _, network = text.rpartition("@")
    if not file or not Path(file).is_file():
        return text
    return f"{Path(file).name}@{network} {file_content(Path(file))}"


def _call(called: Callable[..., Any], given: Mapping[str, Any], positional: tuple[Any, ...] = ()) -> list[Any]:
    name = called.__name__
    if not name.isidentifier():
        raise ValueError(f"a function without a name of its own ({name}) cannot name a file; give it one")
    known = parameters(called)
    if known is None:
        return [name, _settings(given)]
    if not any(parameter.kind == Parameter.VAR_KEYWORD for parameter in known.values()):
        refuse_unknown(name, known, given)
    defaults = {key: parameter.default for key, parameter in known.items() if parameter.default is not Parameter.empty}
    placed = dict(zip(known, positional, strict=False))
    return [name, _settings({**defaults, **placed, **given})]


def _settings(given: Mapping[str, Any]) -> dict[str, Any]:
    named = {key: Path(value).name if key == "file" and value else value for key, value in given.items()}
    return {str(key): described(value) for key, value in named.items() if value is not None and key not in UNNAMED}
