"""The configuration that `run.py` would compose, for programs that start no run: pages, benchmarks, tests."""

import copy
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar, cast

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from experiments.storage.files import ROOT, write

Plain = TypeVar("Plain")
SWEEPS = ROOT / "cache" / "sweeps"
"""Where the composed jobs of experiments are kept."""


def composed(*overrides: str, hydra: bool = False) -> DictConfig:
    """What `python run.py` makes of these overrides, not resolved yet; with Hydra's own settings if asked for.

    Raises:
        hydra.errors.ConfigCompositionException: if an override names no option.
    """
    with _composing():
        return compose("config", list(overrides), return_hydra_config=hydra)


@contextmanager
def _composing() -> Iterator[None]:
    """Hydra reads this project's folder: inside a run, too, and inside a program that Hydra runs on its own folder."""
    instance = GlobalHydra.instance()
    outside, instance.hydra = instance.hydra, None
    try:
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            yield
    finally:
        instance.hydra = outside
        GlobalHydra.set_instance(instance)


def resolved(*overrides: str) -> dict[str, Any]:
    """The same as plain values.

    >>> resolved("seed=3")["seed"]
    3
    """
    return plain(composed(*overrides))


def plain(config: DictConfig) -> dict[str, Any]:
    """A composed configuration as plain values, every interpolation resolved."""
    return cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))


def varied(base: tuple[str, ...], choices: Iterable[tuple[str, str]]) -> DictConfig:
    """What `composed` makes of base and then choices, (key, value) as on the command line.

    Those that differ in plain values alone share the slow part, composing.
    """
    choices = list(choices)
    config = copy.deepcopy(_shared(*base, *(f"{key}={value}" for key, value in choices if _is_file(key, value))))
    for key, value in choices:
        if not _is_file(key, value):
            override = OverridesParser.create().parse_override(f"{key}={value}")
            OmegaConf.update(config, key, override.value())  # settings in braces change some of a part, as in Hydra
    return config


@cache
def _shared(*overrides: str) -> DictConfig:
    return composed(*overrides)


def _is_file(key: str, value: str) -> bool:
    """Whether a choice is one of a group's files by its name, which has to be composed."""
    return (ROOT / "conf" / key).is_dir() and not value.startswith("{")


def part(group: str, name: str, *others: str) -> dict[str, Any]:
    """One choice of a group by itself, which takes a moment where a whole configuration takes long.

    Interpolations that lead out of it stay as they are written. What it is made of may depend on choices of other
    groups (`gauge=none`), which are then to be named.

    >>> part("method", "modelgif/odds")["label"]
    'ModelGiF, log-odds'
    """
    with _composing():
        chosen = compose(overrides=[f"+{choice}" for choice in (f"{group}={name}", *others)])
    return cast(dict[str, Any], OmegaConf.to_container(chosen))[group]


def kept(name: str, make: Callable[[], Plain], folder: Path = SWEEPS) -> Plain:
    """The plain values that `make` gives: from a file in the folder while all configurations and programs are the same.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     kept("seeds", lambda: [0, 1], Path(folder)), kept("seeds", lambda: [2, 3], Path(folder))
    ([0, 1], [0, 1])
    """
    file = folder / f"{name}.json"
    if (found := _found(file)) is not None:
        return found
    content = json.dumps({"sources": _sources(), "made": make()})
    with suppress(OSError):  # where nothing can be written, it is made again
        write(file, content.encode())
    return json.loads(content)["made"]


def is_kept(name: str, folder: Path = SWEEPS) -> bool:
    """Whether `kept` has nothing to make."""
    return _found(folder / f"{name}.json") is not None


def _found(file: Path) -> Any:
    with suppress(OSError, ValueError):
        found = json.loads(file.read_text())
        if found["sources"] == _sources():
            return found["made"]
    return None


@cache
def _sources() -> str:
    """Names everything that a composed configuration depends on."""
    total = hashlib.sha256(" ".join(map(version, ("hydra-core", "omegaconf", "pydantic"))).encode())
    for part, pattern in (("conf", "*.yaml"), ("experiments", "*.py"), ("modelgif_core", "*.py")):
        for file in sorted((ROOT / part).rglob(pattern)):
            total.update(file.relative_to(ROOT).as_posix().encode() + file.read_bytes())
    return total.hexdigest()


def names(group: str) -> list[str]:
    """Names of the choices that a group of configurations offers; those in folders below it are not among them."""
    return sorted(file.stem for file in (ROOT / "conf" / group).glob("*.yaml"))
