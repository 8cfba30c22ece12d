"""Which recorded runs W&B lacks, and sends them: python -m experiments.track --missing."""

import argparse
import sys
from pathlib import Path

from experiments.commands.interrupts import interruptible
from experiments.commands.refusal import reason
from experiments.storage import tracking


@interruptible
def main(arguments: list[str]) -> int:
    """Say how many recorded runs W&B has not taken yet; `--missing` sends those. Sending twice changes nothing."""
    parser = argparse.ArgumentParser(prog="python -m experiments.track", description=main.__doc__)
    parser.add_argument("--missing", action="store_true", help="send what has not arrived")
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of results (%(default)s)")
    parser.add_argument("--project", default="modelgif", help="of W&B (%(default)s)")
    chosen = parser.parse_args(arguments)
    left = tracking.missing(chosen.results)
    if not chosen.missing or not left:
        there = len(tracking.recorded(chosen.results))
        print(f"{there - len(left)} of {there} recorded runs in {chosen.results} are with W&B")
        return 0
    damaged = 0
    try:
        tracking.refuse_unsendable(chosen.results, "online")
        for done, folder in enumerate(left, start=1):
            try:
                tracking.send(folder, chosen.results, project=chosen.project, mode="online")
                print(f"{folder}: sent, {done} of {len(left)}")
            except ValueError as error:  # of one record; the others can be sent
                print(f"error: {reason(error)}", file=sys.stderr)
                damaged += 1
    except OSError as error:
        print(f"error: {reason(error)}", file=sys.stderr)
        return 1
    return min(damaged, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
