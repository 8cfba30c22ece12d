"""Whether a finished run answers a configuration: its name says what was done, not where functions or images lie."""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from experiments.storage import identity, record
from experiments.storage.files import read, write

MEASURED = ("testbed", "method")
"""Parts of a configuration that name a run."""
PLACES = ("root", "folder", "file")
"""Settings that say where images and weights lie."""


def refuse_others(config: dict[str, Any], saved: dict[str, Any], folder: Path) -> None:
    """Refuse a finished run, by its report, that was measured with other functions or on other images of these names.

    Images are compared, which means reading them, whenever anything in their folders has changed since they were seen
    last; a folder that is gone is no other one.
    """
    refuse_other_functions(config, saved, folder)
    moved = record.places(saved["config"]["testbed"], PLACES) != record.places(config["testbed"], PLACES)
    seen = _seen(folder)
    if moved or any(seen.get(place) != stamp for place, stamp in _stamps(config).items()):
        from experiments.job import refuse_other_images  # only here: torch takes a second to import

        refuse_other_images(config, saved, folder)
        remember(config, folder)


def refuse_other_functions(config: dict[str, Any], saved: dict[str, Any], folder: Path) -> None:
    """Refuse a record of other functions that bear the same names; one that has only moved is the same.

    Raises:
        ValueError: naming both, and the remedy.
    """
    for part in MEASURED:
        before = dict(_targets(saved["config"][part]))
        for key, path in _targets(config[part]):
            if before.get(key, path) == path:
                continue
            try:
                found = identity.function(before[key])
            except ValueError:
                continue  # it is not there any more
            if found is not identity.function(path):
                raise ValueError(
                    f"{folder}/report.json was measured with {before[key]}, and {path} is another function of the same "
                    "name; give it a name of its own, or take another folder for results"
                )


def remember(config: dict[str, Any], folder: Path) -> None:
    """Keep, beside a run, what its images' folders look like."""
    stamps = _stamps(config)
    if stamps:
        with suppress(OSError):  # where nothing can be written, images are compared each time
            write(folder / "places.json", json.dumps(stamps, indent=1).encode())


def _seen(folder: Path) -> dict[str, str]:
    with suppress(OSError, ValueError):
        return json.loads(read(folder / "places.json"))
    return {}


def _stamps(config: dict[str, Any]) -> dict[str, str]:
    """Name, size and time of every file at every place that is there, in one digest for each."""
    places = {str(place) for place in record.places(config["testbed"], PLACES).values() if place}
    return {place: identity.digest(sorted(_files(place))) for place in sorted(places) if os.path.exists(place)}


def _files(place: str) -> Iterator[tuple[str, int, int]]:
    if not os.path.isdir(place):
        found = os.stat(place)
        yield os.path.basename(place), found.st_size, found.st_mtime_ns
    for above, _, names in os.walk(place, followlinks=True):
        for name in names:
            with suppress(OSError):
                found = os.stat(os.path.join(above, name))
                yield os.path.relpath(os.path.join(above, name), place), found.st_size, found.st_mtime_ns


def _targets(part: Any, above: str = "") -> Iterator[tuple[str, str]]:
    """Where in a configuration functions are named, and which."""
    entries = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    for key, value in entries:
        if key == "_target_":
            yield above, value
        else:
            yield from _targets(value, f"{above}.{key}")
