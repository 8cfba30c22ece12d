"""What a study searches: `conf/study/<name>.yaml`, read and held to its kinds; and the record of its trials."""

import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypedDict, cast

from experiments.commands.door import admitted
from experiments.commands.refusal import nearest
from experiments.storage import configuration, identity, record
from experiments.storage.files import read, write
from experiments.storage.kinds import fitting

Words = tuple[str, ...]
"""Settings as on the command line, `key=value`."""
Direction = Literal["maximize", "minimize"]


class Needed(TypedDict):
    """What every study says."""

    base: list[str]
    """What all runs have in common, as words for `run.py`."""
    seeds: list[int]
    """A trial's value is the mean over runs with these."""
    space: Mapping[str, list[Any]]
    """Setting -> what it may be."""
    objectives: Mapping[str, Direction]
    """Metric of a run's record -> what is better."""
    trials: int
    """How many to try."""
    sampler: object
    """Which of Optuna's samplers, with its settings; its seed is that of the first trial."""


class Plan(Needed, total=False):
    """The settings of a study."""

    rungs: Mapping[str, list[Any]]
    """One setting that grows -> its values: a trial is measured at one after another, unless it is pruned."""
    pruner: object
    """Which of Optuna's pruners decides that, with its settings."""


@cache
def plan(name: str) -> Plan:
    """The study of that name, as its file says.

    Raises:
        ValueError: if there is none.
    """
    known = configuration.names("study")
    if name not in known:
        raise ValueError(f"there is no study {name!r}; {nearest(name, known, 'there are')}")
    return cast(Plan, configuration.part("study", name))


def checked(name: str, given: Mapping[str, Any]) -> Plan:
    """The settings, if they are those of a study.

    Raises:
        ValueError: if a setting is missing, unknown or of a wrong kind, or it is to be pruned and has several
            objectives, which Optuna does not do.
    """
    found = cast(Plan, fitting(f"study {name}", given, Plan))
    if ("rungs" in found) != ("pruner" in found):
        raise ValueError(f"study {name} needs rungs and a pruner, or neither of them")
    if "pruner" in found and len(found["objectives"]) > 1:
        raise ValueError(
            f"study {name} has {len(found['objectives'])} objectives and a pruner, and Optuna prunes by one alone; "
            "drop rungs and pruner, or all objectives but one"
        )
    if len(found.get("rungs", {"": [0]})) != 1:
        raise ValueError(f"study {name}: rungs are values of one setting, not of {len(found.get('rungs', {}))}")
    for key, values in {**found["space"], **found.get("rungs", {}), "seeds": found["seeds"]}.items():
        if not values:
            raise ValueError(f"study {name}: {key} has no values to choose from")
    return found


def refuse_set(name: str, chosen: Plan, given: Words) -> None:
    """Refuse words whose setting the study itself sets in every run, where they would be lost.

    Raises:
        ValueError: names the first, and the file that says what is tried.
    """
    own = ["seed", *chosen["space"], *chosen.get("rungs", {})]
    for one in given:
        key = one.partition("=")[0].lstrip("+~")
        if any(key == other or key.startswith(f"{other}.") for other in own):
            raise ValueError(
                f"study {name} sets {key} itself, so that {one} would change nothing; leave it out, or give "
                f"conf/study/{name}.yaml other values"
            )


def title(name: str, chosen: Plan, given: Words = ()) -> str:
    """What names the study's files: its name, and a digest of all that its trials follow from.

    Where lies what, and how many are to be tried, is no part of it.
    """
    first = admitted(configuration.varied((*chosen["base"], *given), ()))
    parts = {key: part for key, part in chosen.items() if key not in ("base", "trials")}
    return f"{name}-{identity.digest([identity.run(first), parts])}"


def composed(chosen: Plan, parameters: Mapping[str, Any], given: Words = ()) -> Any:
    """The configuration of one run, as `run.py` composes it: base, what is given, and these parameters."""
    words = [(key, word(value)) for key, value in parameters.items()]
    return configuration.varied((*chosen["base"], *given), words)


def word(value: Any) -> str:
    """A parameter as on the command line.

    >>> word(True), word(None), word("a.b"), word(0.5)
    ('true', 'null', 'a.b', '0.5')
    """
    return value if isinstance(value, str) else json.dumps(value)


def last_rung(chosen: Plan) -> dict[str, Any]:
    """The setting at which a trial is measured in the end; nothing if there are no rungs."""
    return {key: values[-1] for key, values in chosen.get("rungs", {}).items()}


def keep(file: Path, trials: Iterable[Mapping[str, Any]]) -> None:
    """Write the trials, whole or not at all."""
    content = [dict(trial) for trial in trials]
    write(file, json.dumps({"trials": content, "checksum": identity.digest(content)}, indent=1).encode())


def trials(file: Path) -> list[dict[str, Any]]:
    """The trials in a file; none if it is not there.

    Raises:
        ValueError: if the file is damaged.
    """
    try:
        found = json.loads(read(file))
        if identity.digest(found["trials"]) == found["checksum"]:
            return found["trials"]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError):
        pass
    raise ValueError(f"{file} is damaged; delete it, and the study's command writes it again")


def runs(name: str, records: Path, given: Words = ()) -> list[dict[str, Any]]:
    """Configurations of the runs that the values of completed trials are means of, each once."""
    chosen = plan(name)
    found = {}
    for trial in trials(file(name, records, given)):
        for seed in chosen["seeds"] if trial["state"] == "complete" else ():
            config = admitted(composed(chosen, trial["parameters"] | last_rung(chosen) | {"seed": seed}, given))
            found.setdefault(record.folder(config).name, config)
    return list(found.values())


def file(name: str, records: Path, given: Words = ()) -> Path:
    """Where the trials are written that are made of runs in the folder `records`, with what was given beside."""
    return records / f"{title(name, plan(name), given)}.json"
