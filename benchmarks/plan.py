"""What a large job will take, from what `benchmarks.field` measured: python -m benchmarks.plan --models 155."""

import argparse
import json
import sys
from typing import Any

import pandas as pd

from benchmarks.report import folder, save

EXPLANATION = (
    "Computed from the gradients per second that `python -m benchmarks.field` measured on one thread of the machine "
    "below: plain (published, captum), ours in float32 and bfloat16; loading, scoring and plotting are left out. "
    "Every model and seed can be a job of one core. Field: what a job holds of a model, 32 paths at a time. "
    "Embeddings: of all models and seeds, 4,096 numbers each."
)
SETTINGS = {"published": (50, 512), "5 steps": (5, 512), "5 steps, 128 references": (5, 128)}
JOBS = (1, 16, 128)
NUMBER = 4  # bytes of a float32


def rates(network: str) -> dict[str, float]:
    """Gradients a second on one thread: plain (as published, captum), ours, and ours in bfloat16.

    Raises:
        FileNotFoundError: if nothing was measured yet.
        ValueError: if that network was not.
    """
    file = folder() / "field.json"
    if not file.exists():
        raise FileNotFoundError(f"{file} is missing; python -m benchmarks.field makes it")
    rows = next(iter(json.loads(file.read_text())["tables"].values()))
    known = {row["Network"]: row for row in rows}
    if network not in known:
        raise ValueError(f"{file} has no network {network!r}; it has {', '.join(known)}")
    plain = known[network]["Gradients/s, plain"]
    lower = plain * known[network]["Speed-up, bfloat16"]
    return {"plain": plain, "float32": known[network]["Gradients/s, ours"], "bfloat16": lower}


def plan(rate: dict[str, float], models: int, seeds: int, pixels: int) -> pd.DataFrame:
    """A row for each setting and arithmetic: gradients, core hours, hours on so many cores, gigabytes."""
    rows: dict[str, dict[str, Any]] = {}
    for setting, (steps, references) in SETTINGS.items():
        gradients = models * seeds * steps * references
        for arithmetic, speed in rate.items():
            hours = gradients / speed / 3600
            rows[f"{setting}, {arithmetic}"] = (
                {"Gradients": gradients, "Core hours": hours}
                | {f"Hours, {jobs} cores": hours / min(jobs, seeds * models) for jobs in JOBS}
                | {
                    "Field (GB)": 32 * steps * pixels * NUMBER / 1e9,
                    "Embeddings (GB)": models * seeds * 4096 * NUMBER / 1e9,
                }
            )
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("Setting")


def main(arguments: list[str]) -> int:
    """Print the plan and write plan.{json,md}."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plan", description=main.__doc__)
    parser.add_argument("--models", type=int, default=155)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--network", default="ResNet-20@32", help="one that benchmarks.field measured")
    parser.add_argument("--pixels", type=int, default=3 * 32 * 32, help="numbers in one image")
    chosen = parser.parse_args(arguments)
    if min(chosen.models, chosen.seeds, chosen.pixels) < 1:
        parser.error("--models, --seeds and --pixels must be at least 1")
    try:
        table = plan(rates(chosen.network), chosen.models, chosen.seeds, chosen.pixels)
    except (FileNotFoundError, ValueError) as error:
        parser.error(str(error))
    title = f"What {chosen.models} models and {chosen.seeds} seeds take: {chosen.network}"
    print(save("plan", title, EXPLANATION, {"Plan": table}, vars(chosen), arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
