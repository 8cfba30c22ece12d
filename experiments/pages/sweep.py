"""An experiment's sweep: its jobs as composed configurations, each with its record where there is one."""

import copy
import re
from functools import cache, partial, reduce
from itertools import product
from pathlib import Path
from typing import Any, cast

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from experiments.storage import record
from experiments.storage.files import ROOT

Run = tuple[dict[str, Any], dict[str, Any] | None]
"""A composed configuration and its record, None if it has not run."""


@cache
def jobs(experiment: str) -> list[dict[str, Any]]:
    """The composed configuration of every job of the experiment's sweep, in order."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        chosen = f"experiment={experiment}"
        swept = compose("config", [chosen], return_hydra_config=True).hydra.sweeper.params or {}
        parsed = OverridesParser.create().parse_overrides([f"{key}={value}" for key, value in swept.items()])
        page = (ROOT / "conf" / "page" / f"{experiment}.yaml").exists()
        table = OmegaConf.to_container(compose("config", [f"+page={experiment}"]).page) if page else None
        return [
            _job((chosen,), job) | {"table": table}
            for job in product(*([(sweep.key_or_group, v) for v in _values(sweep)] for sweep in parsed))
        ]


def _job(base: tuple[str, ...], choices: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """One job's configuration; jobs that differ in plain values alone share the slow part, composing."""
    groups = [f"{key}={value}" for key, value in choices if (ROOT / "conf" / key).is_dir()]
    config = copy.deepcopy(_composed((*base, *groups)))
    for key, value in choices:
        if not (ROOT / "conf" / key).is_dir():
            OmegaConf.update(config, key, OmegaConf.create(f"value: {value}").value)
    return cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))


@cache
def _composed(overrides: tuple[str, ...]) -> DictConfig:
    return compose("config", list(overrides))


def runs(experiment: str, records: Path) -> list[Run]:
    """Every job of the experiment's sweep with its record in the folder `records`, where there is one."""
    return [(config, record.finished(records / record.folder(config).name)) for config in jobs(experiment)]


def _values(override: Any) -> list[str]:
    return (
        list(override.sweep_string_iterator())
        if override.is_sweep_override()
        else [override.get_value_element_as_str()]
    )


def rows(found: list[Run]) -> dict[str, list[Run]]:
    """The runs by the name of their row: the table's pattern, each {dotted.key} looked up in the configuration."""
    grouped: dict[str, list[Run]] = {}
    for config, finished in found:
        label = re.sub(r"\{(.+?)\}", partial(_value, config), config["table"]["rows"])
        grouped.setdefault(label, []).append((config, finished))
    return grouped


def _value(config: dict[str, Any], key: re.Match[str]) -> str:
    return str(look_up(config, key[1]))


def look_up(config: dict[str, Any], key: str) -> Any:
    """The value at a dotted key."""
    return reduce(lambda part, name: part[name], key.split("."), config)


def sides(found: list[Run]) -> dict[str | None, str]:
    """Values of the setting that the table goes across, with their titles; one for all runs if it goes across none."""
    return found[0][0]["table"].get("across_values") or {None: "all runs"}


def across(config: dict[str, Any]) -> str | None:
    """This run's value of the setting that the table goes across."""
    key = config["table"].get("across")
    return str(look_up(config, key)) if key else None


def metrics(found: list[Run], value: str | None = None) -> list[dict[str, float]]:
    """Metrics of the finished runs, or of those whose setting that the table goes `across` has this value."""
    return [job["metrics"] for config, job in found if job and value in (None, across(config))]
