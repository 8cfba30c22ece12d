"""What the same verdict costs: the published protocol beside cheaper settings: python -m benchmarks.verdict.

The published protocol takes 50 steps on each of a budget of reference points. Fewer steps are measured anew; fewer
reference points are the first columns of a measurement, for a prefix of the draw is the draw of a smaller budget. The
cheapest setting that keeps the verdict is then measured once more, by itself, for its seconds.
"""

import argparse
import sys
from dataclasses import replace
from itertools import permutations
from statistics import mean
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from hydra.utils import instantiate

from benchmarks.report import save
from experiments.measure import measure
from experiments.prepare import prepare
from experiments.statistics.intervals import Estimate, spearman
from experiments.storage.configuration import resolved
from experiments.testbeds.ip_protection.testbed import IPProtection

STEPS, FEWER_STEPS, SHARES = 50, (2, 3, 5, 12), (8, 4, 2, 1)
BUDGET, AGREEMENT, GOAL = 64, 0.99, 20
EXPLANATION = (
    f"The published protocol, {STEPS} steps on every reference point, and cheaper settings of the same method. Each "
    "attack's AUC is held against the published protocol's with the same reference points: the largest difference, its "
    "mean and worst over draws of reference points, and whether every AUC of every draw lies inside the published "
    "protocol's interval. Spearman: of the suspects' mean distances with the published protocol's. Fewer references "
    "are the first of a draw, with gradients and seconds in proportion. A setting keeps the verdict if every AUC lies "
    f"inside and Spearman is at least {AGREEMENT} in every draw."
)


class Measured(NamedTuple):
    """One measurement: distances (a row for each pair, a column for each reference point), and what it took."""

    distances: pd.DataFrame
    gradients: float
    seconds: float

    def prefix(self, references: int) -> "Measured":
        """The same with the first references only; gradients and seconds in proportion."""
        share = references / self.distances.shape[1]
        return Measured(self.distances.iloc[:, :references], self.gradients * share, self.seconds * share)


Setting = tuple[int, int]  # steps and references
Runs = dict[Setting, list[Measured]]  # a measurement for each seed


class Verdict(NamedTuple):
    """What a measurement comes to: each attack's AUC with its interval, and each suspect's mean distance."""

    aucs: dict[str, Estimate]
    means: pd.Series


def composed(zoo: str, samples: str, setting: Setting, seed: int) -> dict[str, Any]:
    """The configuration that `run.py` would compose."""
    place = ["testbed=ip_protection", f"testbed/zoo={zoo}", f"testbed/samples={samples}", "method=modelgif"]
    sizes = [f"method.represent.steps={setting[0]}", f"testbed.budget={setting[1]}", f"seed={seed}"]
    return resolved(*place, *sizes)


def measured(testbed: IPProtection, config: dict[str, Any]) -> Measured:
    """Distances by the configured method, and gradients and seconds per model."""
    torch.manual_seed(config["seed"])
    method = instantiate(config["method"], _convert_="all")
    table, cost = measure(testbed, method, torch.device("cpu"), chunk=config["chunk"])
    return Measured(table, cost["cost/gradient_per_model"], cost["cost/seconds_per_model"])


def judged(testbed: IPProtection, distances: pd.DataFrame) -> Verdict:
    """The AUC of each attack and the mean distances, as the testbed scores them."""
    report = testbed.score(distances)
    ends = {attack: [f"auc/{attack}{end}" for end in ("", "/low", "/high")] for attack in testbed.attacks}
    aucs = {attack: Estimate(*(report.metrics[key] for key in keys)) for attack, keys in ends.items()}
    return Verdict(aucs, report.matrices["suspects"]["distance"])


def agreement(verdict: Verdict, published: Verdict) -> tuple[float, bool, float]:
    """Largest difference of AUCs, whether all lie inside the published intervals, Spearman of the mean distances."""
    pairs = [(found.value, published.aucs[attack]) for attack, found in verdict.aucs.items()]
    ranks = spearman(verdict.means.to_numpy(), published.means.to_numpy()).value
    return max(abs(value - of.value) for value, of in pairs), all(of.low <= v <= of.high for v, of in pairs), ranks


def row(agreements: list[tuple[float, bool, float]]) -> dict[str, Any]:
    """Agreements of several draws in one row."""
    differences, inside, ranks = zip(*agreements, strict=True)
    return {
        "Largest AUC difference": mean(differences),
        "worst": max(differences),
        "AUCs inside": "yes" if all(inside) else "no",
        "Spearman": mean(ranks),
        "Spearman, worst": float(np.min(ranks)),  # not Python's, which may pass over NaN
    }


def cheapest(table: pd.DataFrame) -> Any:
    """The row with the fewest gradients whose verdict is kept in every seed, None without one; ties: best Spearman."""
    kept = table[(table["AUCs inside"] == "yes") & (table["Spearman, worst"] >= AGREEMENT)]
    order = kept.sort_values(["Gradients per model", "Spearman, worst"], ascending=[True, False])
    return order.index[0] if len(order) else None


def spent(parts: list[Measured], published: list[Measured]) -> dict[str, Any]:
    """Means over seeds of what a setting takes, and how many times as much the published protocol does."""
    gradients, seconds = mean(part.gradients for part in parts), mean(part.seconds for part in parts)
    return {
        "Gradients per model": round(gradients),
        "Seconds per model": seconds,
        "Times fewer gradients": mean(part.gradients for part in published) / gradients,
        "Times fewer seconds": mean(part.seconds for part in published) / seconds,
    }


def compare(testbed: IPProtection, runs: Runs, published: list[Measured]) -> pd.DataFrame:
    """A row for each setting, held against the published protocol with the same seeds."""
    verdicts = [judged(testbed, found.distances) for found in published]
    rows = {}
    for (steps, references), parts in runs.items():
        own = [judged(testbed, part.distances) for part in parts]
        found = row([agreement(*pair) for pair in zip(own, verdicts, strict=True)]) | spent(parts, published)
        rows[f"{steps} steps, {references} references"] = {"Steps": steps, "References": references} | found
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("Setting")


def conclusion(alone: pd.DataFrame) -> str:
    """Whether the one setting in the table costs little enough."""
    times = {what: alone[f"Times fewer {what}"].iloc[0] for what in ("gradients", "seconds")}
    parts = [f"1/{n:.3g} of the {what} (at most 1/{GOAL}: {'yes' if n >= GOAL else 'no'})" for what, n in times.items()]
    return f"{alone.index[0]}: {' and '.join(parts)}"


def redraw(testbed: IPProtection, published: list[Measured]) -> pd.DataFrame:
    """The published protocol beside itself with other reference points: what a difference is to be held against."""
    verdicts = [judged(testbed, found.distances) for found in published]
    rows = {"published, other references": row([agreement(*pair) for pair in permutations(verdicts, 2)])}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("Setting")


def main(arguments: list[str]) -> int:
    """Measure, compare and write verdict.{json,md}; another zoo or budget is part of the name."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.verdict", description=main.__doc__)
    parser.add_argument("--zoo", default="mini", help="of conf/testbed/zoo, one of IP protection")
    parser.add_argument("--seeds", type=lambda text: [int(part) for part in text.split(",")], default="0,1")
    parser.add_argument("--budget", type=int, default=BUDGET, help="reference points of the published protocol")
    parser.add_argument("--toy", action="store_true", help="a zoo that says nothing, in seconds: does it run?")
    chosen = parser.parse_args(arguments)
    if chosen.toy:
        chosen.zoo, chosen.budget = "toy", max(SHARES)
    if chosen.budget < 1 or chosen.budget % max(SHARES):
        parser.error(f"--budget must be a multiple of {max(SHARES)}, not {chosen.budget}")
    samples, seeds = "toy" if chosen.toy else "digits", chosen.seeds
    torch.set_num_threads(1)
    full = (STEPS, chosen.budget)
    config = composed(chosen.zoo, samples, full, seeds[0])
    testbed: IPProtection = instantiate(config["testbed"], _convert_="all")
    prepare(testbed.zoo, workers=config["workers"])

    def draws(setting: Setting) -> list[Measured]:
        print("{} steps, {} references".format(*setting), file=sys.stderr)
        configs = [composed(chosen.zoo, samples, setting, seed) for seed in seeds]
        return [measured(replace(testbed, budget=setting[1]), config) for config in configs]

    draws((1, 1))  # what files and libraries cost at first use belongs to no setting
    published = draws(full)
    runs: Runs = {full: published}
    for steps in FEWER_STEPS:
        whole = draws((steps, chosen.budget))
        for references in (chosen.budget // share for share in SHARES):
            runs[steps, references] = [found.prefix(references) for found in whole]
    table = compare(testbed, runs, published)
    best = cheapest(table)
    table["Cheapest that keeps the verdict"] = ["yes" if name == best else "" for name in table.index]
    setting = dict(zip(table.index, runs, strict=True))[best]
    alone = compare(testbed, {setting: published if setting == full else draws(setting)}, published)
    heading = f"{len(testbed.pairs())} suspects, {len(seeds)} draws of {chosen.budget} references"
    tables = {heading: table, f"The cheapest, measured by itself. {conclusion(alone)}": alone}
    if len(seeds) > 1:
        tables["The published protocol beside itself"] = redraw(testbed, published)
    other = [chosen.zoo] * (chosen.zoo != "mini") + [str(chosen.budget)] * (chosen.budget != BUDGET)
    name = "_".join(["verdict", *other])
    title = f"What the same verdict costs: zoo {chosen.zoo}"
    print(save(name, title, EXPLANATION, tables, vars(chosen), arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
