"""Values of the kinds that annotations name, or one line that says which key holds another kind.

Kinds are those of Python's annotations: numbers, text, booleans, None, literals, lists and mappings of these, and
whatever a call (a mapping with `_target_`) makes. The settings of a call have the kinds that its function annotates.
"""

import json
from collections.abc import Callable, Collection, Mapping
from functools import cache, partial
from importlib import import_module
from inspect import Parameter, isfunction
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, Unpack, get_args, get_origin, get_type_hints, is_typeddict

from pydantic import ConfigDict, TypeAdapter, ValidationError

from experiments.commands.refusal import nearest
from experiments.storage import identity

WORDS = {"yes": True, "on": True, "no": False, "off": False}
"""YAML's other words for booleans, which Hydra hands over as text."""
DIRECTIVES = ("_target_", "_partial_", "_convert_")
"""What Hydra reads in a call; all else are settings."""
ANYTHING = (Any, Parameter.empty)


def fitting(key: str, value: Any, kind: Any, module: str = "") -> Any:
    """The value, if it is of that kind; words for booleans and bare names of functions become what they stand for.

    Args:
        key: where it stands in the configuration.
        value: plain.
        kind: an annotation.
        module: of the function that it is a setting of, where bare names are looked up.

    Raises:
        ValueError: if it is of another kind, or a call in it is given what its function does not take.

    >>> fitting("rerun", "no", bool), fitting("rate", 1, float), fitting("label", None, int | None)
    (False, 1, None)
    >>> fitting("seed", True, int)
    Traceback (most recent call last):
    ...
    ValueError: seed must be a valid integer, not true
    """
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    if isinstance(value, Mapping):
        if "_target_" in value and not all(_is_plain(one) for one in kinds):
            return _call(key, value, kinds)
        for one in filter(is_typeddict, kinds):
            return _record(key, value, one)
        for inner in _inside(kinds, Mapping):
            return {name: fitting(f"{key}.{name}", part, inner, module) for name, part in value.items()}
    if isinstance(value, list):
        for inner in _inside(kinds, Collection):
            return [fitting(f"{key}[{place}]", part, inner, module) for place, part in enumerate(value)]
    if isinstance(value, str) and bool in kinds and value.casefold() in WORDS:
        return WORDS[value.casefold()]
    if isinstance(value, str) and module:
        for one in filter(_is_function, kinds):
            return _named(key, value, one, module)
    _refuse_other(key, value, kinds)
    return value


def _inside(kinds: tuple[Any, ...], container: type) -> list[Any]:
    """What the mappings, or the other collections, among these kinds hold."""
    found = [Any for kind in kinds if kind in ANYTHING]
    for kind in kinds:
        origin = get_origin(kind) or kind
        if origin is str or getattr(origin, "__module__", "") not in ("builtins", "collections.abc"):
            continue  # a tuple with names of its own is made by a call
        if not isinstance(origin, type) or not issubclass(origin, container):
            continue
        if container is Mapping:
            found.append((get_args(kind) or (Any,))[-1])
        elif not issubclass(origin, Mapping):
            found.append((get_args(kind) or (Any,))[0])
    return found


def _record(key: str, value: Mapping[str, Any], kind: Any) -> dict[str, Any]:
    """A mapping with keys of its own."""
    known, needed = get_type_hints(kind, include_extras=True), sorted(kind.__required_keys__)
    identity.refuse_unknown(key, known, value)
    for name in needed:
        if name not in value:
            raise ValueError(f"{key} lacks {name!r}; it needs {', '.join(needed)}")
    return {name: fitting(f"{key}.{name}", part, known[name]) for name, part in value.items()}


def _call(key: str, part: Mapping[str, Any], kinds: tuple[Any, ...]) -> dict[str, Any]:
    """A call, given what its function takes; a partial one only where a function is wanted."""
    _refuse_other(f"{key}._target_", part["_target_"], (str,))
    directives = {name: value for name, value in part.items() if name in DIRECTIVES}
    directives |= {name: fitting(f"{key}.{name}", part[name], bool) for name in ("_partial_",) if name in part}
    if directives.get("_partial_") and not any(kind in ANYTHING or _is_function(kind) for kind in kinds):
        raise ValueError(f"{key} is no function, so leave out {key}._partial_")
    try:
        function = identity.function(part["_target_"])
    except ValueError as error:
        raise ValueError(f"{key}._target_: {error}") from error
    settings = {name: value for name, value in part.items() if name not in DIRECTIVES}
    if not directives.get("_partial_"):
        for one in (identity.parameters(function) or {}).values():
            if _is_needed(one) and one.name not in settings:
                raise ValueError(f"{key}: {function.__name__} lacks its setting {one.name!r}")
    elif len(kinds) == 1 and _is_protocol(kinds[0]):
        _refuse_uncallable(key, function, settings, kinds[0])
    return directives | taken(key, function, settings)


def _refuse_uncallable(key: str, function: Callable[..., Any], settings: Mapping[str, Any], kind: Any) -> None:
    """Refuse a partial call that lacks a setting which whoever calls it, as a protocol says, does not supply."""
    called = list((identity.parameters(kind.__call__) or {}).values())[1:]
    names = {one.name for one in called if one.kind == Parameter.KEYWORD_ONLY}
    positional = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    takes = [one for one in (identity.parameters(function) or {}).values() if one.name not in settings]
    rest = [one for one in takes if one.kind in positional][len(called) - len(names) :]
    for one in [*rest, *(one for one in takes if one.kind == Parameter.KEYWORD_ONLY)]:
        if _is_needed(one) and one.name not in names:
            raise ValueError(f"{key}: {function.__name__} lacks its setting {one.name!r}")


def taken(key: str, function: Callable[..., Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, if the function takes them and they are of the kinds that it annotates; otherwise as `fitting`."""
    while isinstance(function, partial):
        function = function.func
    known, takes_any = _known(function)
    if not takes_any:
        identity.refuse_unknown(f"{key}: {function.__name__}", known, settings)
    module = function.__module__
    return {name: fitting(f"{key}.{name}", value, known.get(name, Any), module) for name, value in settings.items()}


def _known(function: Callable[..., Any]) -> tuple[dict[str, Any], bool]:
    """The settings that a function takes, with their kinds, and whether it takes any others."""
    parameters = identity.parameters(function)
    known: dict[str, Any] = {}
    takes_any = parameters is None
    for parameter in (parameters or {}).values():
        kind = Any if isinstance(parameter.annotation, str) else parameter.annotation
        if get_origin(kind) is Unpack:
            known |= get_type_hints(get_args(kind)[0])
        elif parameter.kind == Parameter.VAR_KEYWORD:
            takes_any = True
        elif parameter.kind != Parameter.VAR_POSITIONAL:
            known[parameter.name] = kind
    return known, takes_any


def _is_needed(parameter: Parameter) -> bool:
    loose = (Parameter.VAR_KEYWORD, Parameter.VAR_POSITIONAL)
    return parameter.default is Parameter.empty and parameter.kind not in loose


def _named(key: str, name: str, kind: Any, module: str) -> dict[str, Any]:
    """The function of that name in the module, as a call, if it takes and returns what this kind of function does."""
    there = vars(import_module(module)).items()
    known = [one for one, found in there if isfunction(found) and found.__module__ == module and _is_like(found, kind)]
    if name not in known:
        here = f"{nearest(name, known, f'those of {module} are')}; name another" if known else "name it"
        raise ValueError(f"{key} must be a function, not {name!r}; {here} by {key}._target_=<module>.<name>")
    return {"_target_": f"{module}.{name}", "_partial_": True}


def _is_like(function: Callable[..., Any], kind: Any) -> bool:
    """Whether a function takes and returns what this kind of function does, its options aside."""
    if function.__name__.startswith("_") or not get_args(kind) or get_args(kind)[0] is Ellipsis:
        return False  # a kind that says nothing of its functions would take any
    taken, returned = get_args(kind)
    parameters = identity.parameters(function) or {}
    needed = [one.annotation for one in parameters.values() if _is_needed(one)]
    return needed == list(taken) and function.__annotations__.get("return") == returned


def _is_function(kind: Any) -> bool:
    return kind is Callable or get_origin(kind) is Callable or _is_protocol(kind)


def _is_protocol(kind: Any) -> bool:
    """Whether it is a class that says how a function is called, and with which settings."""
    return getattr(kind, "_is_protocol", False) and "__call__" in vars(kind)


def _is_plain(kind: Any) -> bool:
    return kind in (int, float, str, bool, Path, NoneType) or get_origin(kind) in (Literal, Annotated)


def _refuse_other(key: str, value: Any, kinds: tuple[Any, ...]) -> None:
    """Refuse a single value, or a container, that is of none of these kinds."""
    if any(kind in ANYTHING for kind in kinds) or (value is None and NoneType in kinds):
        return
    allowed = []
    for kind in kinds:
        if _is_function(kind) and callable(value):
            return
        if not _is_plain(kind) or kind is NoneType:
            allowed.append(_word(kind))
            continue
        try:
            _adapter(str if kind is Path else kind).validate_python(value)
            return
        except ValidationError as error:
            allowed.append(error.errors()[0]["msg"].partition(" should ")[2])
        if get_origin(kind) is Literal:
            names = [str(name) for name in get_args(kind)]
            raise ValueError(f"{key} cannot be {_shown(value)}; {nearest(str(value), names, 'it may be')}")
    raise ValueError(f"{key} must {' or '.join(allowed)}, not {_shown(value)}".replace(" or be ", " or "))


@cache
def _adapter(kind: Any) -> TypeAdapter:
    return TypeAdapter(kind, config=ConfigDict(strict=True, allow_inf_nan=False))


def _word(kind: Any) -> str:
    if kind is NoneType:
        return "be null"
    if _is_function(kind):
        return "be a function"
    if is_typeddict(kind) or _inside((kind,), Mapping):
        return "be a mapping"
    if _inside((kind,), Collection):
        return "be a list"
    return "be made by a _target_" + (f" ({kind.__name__})" if kind is not object and isinstance(kind, type) else "")


def _shown(value: Any) -> str:
    if isinstance(value, Mapping) and "_target_" in value:
        return f"a call of {value['_target_']}"
    text = repr(value) if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."
