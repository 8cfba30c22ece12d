"""Every drill at full size, and the page that says what was tried and what held: python tests/drills/reliability.py.

Drills run in `make test` and `make slow`, too, with few cases each. A drill calls `tally` once for what it has tried;
that it got so far means that nothing was lost, since anything lost fails it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import pandas as pd

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "results" / "reliability.md"


def cases(quick: int, full: int) -> int:
    """How many cases to try: few in `make test`, all in `make drills`."""
    return full if os.environ.get("DRILLS") == "full" else quick


def tally(drill: str, tried: int, *, survived: str) -> None:
    """Note what a drill has tried, and what of it is whole; said on the page, if one is being made."""
    if file := os.environ.get("TALLY"):
        with open(file, "a") as tallies:
            tallies.write(json.dumps({"Drill": drill, "Tried": tried, "What held, every time": survived}) + "\n")


def main() -> int:
    """Run the drills on two workers; write the page if all held."""
    sys.path.insert(0, str(ROOT))
    from experiments.storage.files import write
    from experiments.storage.record import commit

    began = perf_counter()
    with TemporaryDirectory() as place:
        tallies = Path(place) / "tallies.jsonl"
        environment = os.environ | {"DRILLS": "full", "TALLY": str(tallies), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "pytest", "-n", "2", "--durations=5", "tests/drills"]
        failed = subprocess.run(command, cwd=ROOT, env=environment).returncode
        if failed:
            return failed
        rows = pd.DataFrame([json.loads(line) for line in tallies.read_text().splitlines()])
    table = rows.groupby(["Drill", "What held, every time"], as_index=False)["Tried"].sum()
    page = (
        "# Reliability: what was done to the suite, and what it lost\n\n"
        "Each row is a drill of `tests/drills`, at the size of `make drills`; one that loses anything fails, and no "
        f"page is written.\n\n{table[rows.columns].to_markdown(index=False)}\n\n"
        f"{int(table['Tried'].sum())} cases in {perf_counter() - began:.0f} s on two cores; nothing was lost. "
        f"Commit {commit()}. Made by `make drills`.\n"
    )
    write(PAGE, page.encode())
    print(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
