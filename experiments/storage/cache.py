"""What training has cost, and deletes it if told so: python -m experiments.storage.cache; YES=1 answers for you."""

import argparse
import os
import sys
from pathlib import Path

from safetensors import SafetensorError

from experiments.storage.weights import by_others, load_facts

MADE = ("*.safetensors", "*.state", "*.partial", ".locks/*.lock", "sweeps/*.json")
"""What the suite makes in a cache; downloads are left alone, and so are weights that others have written."""


def content(cache: Path) -> dict[str, float]:
    """How many trained models a cache holds, how many other files made once, and the seconds that training took.

    A checkpoint counts with the training that it comes of. Damaged files count among the others.
    """
    found = {"models": 0, "others": 0, "seconds": 0.0}
    for file in made(cache, "*.safetensors"):
        try:
            facts = load_facts(file)
        except (SafetensorError, KeyError, ValueError, OSError):
            facts = {}
        if "recipe" in facts and ".epoch" not in file.name:
            found["models"] += 1
            found["seconds"] += facts.get("seconds", 0)
        elif "recipe" not in facts:
            found["others"] += 1
    return found


def made(cache: Path, *patterns: str) -> list[Path]:
    """The files there that the suite has made, of these patterns."""
    found = [file for pattern in patterns for file in cache.rglob(pattern)]
    return [file for file in found if file.suffix != ".safetensors" or not by_others(file)]


def clear(cache: Path) -> None:
    """Delete what the suite has made there, and folders that are empty then."""
    for file in made(cache, *MADE):
        file.unlink(missing_ok=True)
    for folder in sorted((path for path in cache.rglob("*") if path.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()


def main(arguments: list[str]) -> int:
    """Say how many models there are and how long they took; delete them if the answer is yes."""
    parser = argparse.ArgumentParser(prog="python -m experiments.storage.cache", description=main.__doc__)
    parser.add_argument("cache", nargs="?", type=Path, default=Path("cache"), help="folder (%(default)s)")
    cache = parser.parse_args(arguments).cache
    found = content(cache)
    print(
        f"{cache}: {found['models']} trained models ({found['seconds']:,.0f} s of training) "
        f"and {found['others']} other files made once"
    )
    if not made(cache, *MADE):
        return 0
    if os.environ.get("YES") != "1":
        try:
            answer = input("delete all of them? [y/N] ")
        except EOFError:
            print("error: nobody to ask; YES=1 deletes without asking", file=sys.stderr)
            return 1
        if answer.strip().lower() not in ("y", "yes"):
            print("kept")
            return 0
    clear(cache)
    print("deleted")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
