"""Pictures of single runs, drawn from their records alone: python -m experiments.pages.draw [folder ...].

`conf/pictures` names a testbed's pictures; nothing is measured, so they can be drawn again after any change of theirs.
"""

import argparse
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from hydra.utils import get_method

from experiments.pages import plots
from experiments.storage import configuration, record
from experiments.storage.files import write

RUNS = Path("results/runs")


def draw(folder: Path, pictures: Mapping[str, str]) -> list[Path]:
    """The files of a finished run's pictures, drawn anew; what its record has nothing to show of is left out.

    Args:
        folder: of the record.
        pictures: name of the file -> dotted path of a function from that folder to a figure, or None.

    Raises:
        ValueError: if the record lacks what a picture shows.
    """
    drawn = []
    for name, function in pictures.items():
        figure = get_method(function)(folder)
        if figure is not None:
            write(folder / f"{name}.png", plots.png(figure))
            drawn.append(folder / f"{name}.png")
    return drawn


def pictures(saved: dict[str, Any]) -> dict[str, str]:
    """The pictures that `conf/` declares for the testbed of this record; none if it has no such testbed."""
    return _declared().get(saved["identity"]["testbed"][0], {})


@cache
def _declared() -> dict[str, dict[str, str]]:
    composed = [configuration.resolved(f"testbed={name}") for name in configuration.names("testbed")]
    return {config["testbed"]["_target_"].rpartition(".")[2]: config["pictures"] for config in composed}


def main(arguments: list[str]) -> int:
    """Draw the pictures of these runs, or of all in results/runs; 1 if a record lacks what a picture shows, else 0."""
    parser = argparse.ArgumentParser(prog="python -m experiments.pages.draw", description=main.__doc__)
    parser.add_argument(
        "folders", nargs="*", type=Path, metavar="folder", help=f"of a record; all in {RUNS} by default"
    )
    folders = parser.parse_args(arguments).folders or sorted(file.parent for file in RUNS.glob("*/report.json"))
    failed = 0
    for folder in folders:
        try:
            saved = record.finished(folder)
            if saved is None:
                raise ValueError(f"{folder} holds no finished run; there is no report.json in it")
            print(*draw(folder, pictures(saved)), sep="\n")
        except (ValueError, OSError) as error:
            failed = 1
            print(" ".join(str(error).split()), file=sys.stderr)
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
