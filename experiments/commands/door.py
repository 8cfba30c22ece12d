"""The door that every configuration passes before any work: what is missing, unknown or of a wrong kind ends there.

What a top-level key may be stands here; what the settings of a call may be, in the annotations of its function.
"""

import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict, get_type_hints

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, QuotedString, Sweep
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import Field

from experiments.commands.refusal import MISTAKES, ONE_LINE, nearest, reason, tracebacks_wanted
from experiments.storage import configuration
from experiments.storage.files import ROOT
from experiments.storage.kinds import fitting

Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=1)]


class Tracking(TypedDict):
    """Where runs are sent to."""

    mode: Literal["online", "offline", "disabled"]
    project: Text


class Configuration(TypedDict):
    """The top-level keys, which `python run.py --help` explains."""

    name: Text
    seed: int
    device: Text
    chunk: Count
    memory_gb: Annotated[float, Field(gt=0)]
    workers: Count
    shard: Annotated[int, Field(ge=0)]
    shards: Count
    dry_run: bool
    rerun: bool
    on_error: Literal["continue", "stop"]
    results: Text
    cache: Text
    wandb: Tracking
    pictures: Mapping[str, Text]
    gauge: Mapping[str, Any]
    testbed: object
    method: object


KEYS = get_type_hints(Configuration, include_extras=True)


def admitted(config: DictConfig) -> dict[str, Any]:
    """A composed configuration as plain values; words for booleans and bare names of functions are what they stand for.

    Raises:
        ValueError: in one line with the key, the value and what is allowed, if a key is missing or unknown, or a value
            is not of the kind that its key or the annotation of its function says.
    """
    for key in config:
        if key not in KEYS:
            raise ValueError(f"there is no key {key!r}; {_meant(str(key), config)}the keys are {', '.join(KEYS)}")
    for key in KEYS:
        if key not in config:
            raise ValueError(f"{key} is missing, and no run is without it")
    try:
        plain: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        for missing in sorted(OmegaConf.missing_keys(config)):
            raise ValueError(f"{missing} is missing: give it a value") from None
        raise ValueError(str(error)) from error
    try:
        fit = {key: fitting(key, plain[key], kind) for key, kind in KEYS.items()}
    except ValueError as error:
        key, _, said = str(error).partition(" ")
        raise ValueError(f"{_source(key, OmegaConf.to_container(config))} {said}") from None
    for part in ("testbed", "method"):
        _refuse_rehearsal_of(part, fit[part], fit["dry_run"])
    return fit


def _refuse_rehearsal_of(key: str, part: Any, whole: bool) -> None:
    """A part that is rehearsed, in a run that is not, would be recorded as the whole."""
    for name, value in part.items() if isinstance(part, Mapping) else ():
        if name == "dry_run" and bool(value) != whole:
            raise ValueError(f"{key}.dry_run={str(value).lower()} is of one part: set dry_run, which goes for all")
        _refuse_rehearsal_of(f"{key}.{name}", value, whole)


def _meant(name: str, config: DictConfig) -> str:
    """Asks whether a key of that name further inside was meant, or one that is like it."""
    places: dict[str, list[str]] = {}
    for path in sorted(_keys(config), key=lambda path: path.count(".")):
        places.setdefault(path.rpartition(".")[2], []).append(path)
    near = get_close_matches(name, places, n=1)
    return f"did you mean {' or '.join(places[near[0]][:3])}? Otherwise " if near else ""


def _keys(config: DictConfig, above: str = "") -> Iterator[str]:
    """Dotted keys of all values; pictures and what repeats another key's value are left out."""
    for key in map(str, config):
        path, repeats = f"{above}{key}", OmegaConf.is_interpolation(config, key)
        if repeats or OmegaConf.is_missing(config, key) or path == "pictures" or not (above or key in KEYS):
            continue
        if OmegaConf.is_dict(config[key]):
            yield from _keys(config[key], f"{path}.")
        else:
            yield path


def _source(key: str, raw: Any) -> str:
    """The key that a value was given by, where this one only repeats it."""
    part, above = raw, []
    for name in key.split("."):
        part = part.get(name) if isinstance(part, Mapping) else None
        repeated = re.fullmatch(r"\$\{(\.?)([\w.]+)\}", part) if isinstance(part, str) else None
        if repeated:
            rest = key.split(".")[len(above) + 1 :]
            return _source(".".join([*(above if repeated[1] else []), repeated[2], *rest]), raw)
        above.append(name)
    return key


def enter(main: Callable[[], None]) -> None:
    """Start a program of Hydra's; what is wrong with its command line ends it in one line, with the nearest name."""
    words = [word for word in sys.argv[1:] if "=" in word and not word.startswith("-")]
    own = any(word.startswith(("-c", "--config", "hydra.searchpath")) for word in sys.argv[1:])
    if not os.environ.get("HYDRA_FULL_ERROR"):
        os.environ |= {"HYDRA_FULL_ERROR": "1", ONE_LINE: "1"}  # jobs in other processes have them, too
    try:
        if not own:
            refuse_overrides(words)
        main()
    except MISTAKES as error:
        if tracebacks_wanted():
            raise
        raise SystemExit(f"error: {_said(error, words)}") from None


def _said(error: Exception, words: list[str]) -> str:
    """What is wrong; of a key that is not there, which one was meant."""
    lacking = re.match(r"Could not override '([\w.]+)'", str(error))
    if not lacking:
        return reason(error).partition(" Config search path:")[0]
    single = [word for word in words if not re.search(r"[,(]", word)]
    groups = [word for word in single if (ROOT / "conf" / word.partition("=")[0]).is_dir()]
    meant = _meant(lacking[1].rpartition(".")[2], configuration.composed(*groups))
    return f"there is no key {lacking[1]!r}; {meant}--help explains the keys"


def refuse_overrides(overrides: list[str]) -> None:
    """Refuse what no command line can mean, before Hydra makes the folder of a sweep or prints a page of options.

    Raises:
        ValueError: if a choice is not among those of its group, with the nearest first, or the value of a top-level
            key is of another kind.

    >>> refuse_overrides(["testbed=unlerning"])
    Traceback (most recent call last):
    ...
    ValueError: testbed has no option 'unlerning'; did you mean unlearning? It has ip_protection, pairwise, ...
    """
    try:
        parsed = OverridesParser.create().parse_overrides(overrides)
    except HydraException:
        return  # what cannot be read, Hydra refuses itself
    for override in parsed:
        key: str = override.key_or_group
        value: Any = override.value()
        if key.startswith("hydra/") and not isinstance(value, str | Sweep):
            raise ValueError(f"{key} is one option, by its name, not {json.dumps(value, default=str)}")
        if override.is_delete() or override.is_hydra_override():
            continue
        for choice in value.list if isinstance(value, ChoiceSweep) else [value]:
            found = choice.text if isinstance(choice, QuotedString) else choice
            if isinstance(found, Glob | Sweep) or "$" in str(found):
                continue
            if (ROOT / "conf" / key).is_dir():
                _refuse_option(key, found)
            elif key in KEYS:
                fitting(key, found, KEYS[key])


def _refuse_option(group: str, name: Any) -> None:
    options = _options(ROOT / "conf" / group)
    if isinstance(name, list):
        raise ValueError(f"{group} is one option, not {len(name)}; -m {group}=one,other runs one after another")
    if not isinstance(name, dict) and name not in options:
        raise ValueError(f"{group} has no option {str(name or 'null')!r}; {nearest(str(name), options)}")


def _options(folder: Path) -> list[str]:
    """What a group of configurations offers: variations lie in a folder named like what they vary, groups do not."""
    found = [file.relative_to(folder) for file in folder.rglob("*.yaml")]
    return sorted(
        file.with_suffix("").as_posix()
        for file in found
        if len(file.parts) == 1 or (folder / f"{file.parts[0]}.yaml").exists()
    )
