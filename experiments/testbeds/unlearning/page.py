"""Sections and pictures of pages on unlearning: who is believed, the paper's order and its causes, two sources."""

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.pages import plots, sweep
from experiments.pages.section import section
from experiments.pages.sweep import Run
from experiments.statistics.intervals import auc
from experiments.storage import record
from experiments.testbeds.unlearning import pictures as verdict_plots
from experiments.testbeds.unlearning.testbed import CURVES

REPRESENTATION = ("input-gradient", "feature", "weights")
"""Access of verifiers that look inside; all others judge behaviour."""


def believed(found: list[Run], records: Path) -> str:
    """Which models each verifier takes for retrained ones."""
    return section(
        "**Whom each verifier believes**: share of the models of each role, over all zoos, whose distance from the "
        "calibrating retrained models stays below these models' own 95 % prediction bound. The first columns have "
        "truly forgotten; a verifier is fooled wherever it believes one of the others that knows. A field that "
        "vanishes is not believed.",
        _believed(found),
    )


def believed_map(found: list[Run], records: Path) -> Figure:
    """The same as colours."""
    table = _believed(found).replace("—", np.nan).astype(float)
    return plots.heat_map(table, title="Share of models believed to be retrained", label="share believed")


def order(found: list[Run], records: Path) -> str:
    """The paper's order of distances from the reference, with what explains it."""
    rows = {}
    for label, jobs in sweep.rows(found).items():
        metrics = sweep.metrics(jobs)
        if not metrics:
            continue
        rows[label] = {
            "Retrained": _mean(metrics, "distance/retrain"),
            "Unrelated": _mean(metrics, "distance/unrelated"),
            "Approximate": _mean(metrics, "distance/approximate"),
            "Zoos in the paper's order": f"{sum(map(_ordered, metrics))} of {len(metrics)}",
            "P(retrained > unrelated)": _mean(metrics, "order/retrain_beyond_unrelated"),
            "P(unrelated > approximate)": _mean(metrics, "order/unrelated_beyond_approximate"),
            "Encoder saw, head not": _mean(metrics, "distance/swap_saw_without"),
            "Head saw, encoder not": _mean(metrics, "distance/swap_new_with"),
        }
    return section(
        "**The paper's order**, retrained (directly unlearned) > unrelated > approximate: mean distance from the "
        "reference. The last two columns take it apart: an unrelated encoder under a new head that never saw the "
        "class, and a retrained encoder under a new head that did. If forgetting sat in the encoder, the last "
        "column would be like the first; if it sits in the untrained output, like the second.",
        pd.DataFrame.from_dict(rows, orient="index"),
    )


def held_out(found: list[Run], records: Path) -> str:
    """Every verifier on the first zoo, where settings were chosen, and on the others."""
    development = found[0][0]["seed"]
    rows = {}
    for label, jobs in sweep.rows(found).items():
        parts = {
            "Zoo of development": [job for job in jobs if job[0]["seed"] == development],
            "Other zoos": [job for job in jobs if job[0]["seed"] != development],
        }
        if sweep.metrics(jobs):
            rows[label] = {
                f"{title}, {reading}": _mean(sweep.metrics(part), f"auc/{key}/all")
                for key, reading in {"retrains": "near", "reference": "far"}.items()
                for title, part in parts.items()
            }
    return section(
        f"**Held-out zoos**: AUC against all that has not truly forgotten, on zoo {development}, where settings of "
        "exploratory variants were chosen, and on the other zoos, where nothing was.",
        pd.DataFrame.from_dict(rows, orient="index"),
    )


def two_sources(found: list[Run], records: Path) -> str:
    """The best pair of a behaviour and a representation on the first zoo, judged on the others."""
    behaviour, representation = {}, {}
    for label, jobs in sweep.rows(found).items():
        inside = jobs[0][0]["method"]["access"] in REPRESENTATION
        (representation if inside else behaviour)[label] = jobs
    development = found[0][0]["seed"]
    pairs = {
        pair: score
        for pair in product(behaviour, representation)
        if (score := _combined(behaviour[pair[0]], representation[pair[1]], records, [development])) is not None
    }
    others = sorted({config["seed"] for config, job in found if job} - {development})
    if not pairs or not others:
        return "**Two sources**: not run."
    best = sorted(pairs, key=lambda pair: -pairs[pair])[:6]
    rows = {}
    for first, second in best:
        rows[f"{first} and {second}"] = {
            "Development zoo": f"{pairs[first, second]:.2f}",
            "Other zoos": f"{_combined(behaviour[first], representation[second], records, others):.2f}",
            "First alone": f"{_combined(behaviour[first], behaviour[first], records, others):.2f}",
            "Second alone": f"{_combined(representation[second], representation[second], records, others):.2f}",
        }
    return section(
        f"**Two sources**: of {len(pairs)} pairs of a verifier of behaviour and one of representation, the six "
        "best on the first zoo (AUC against all that has not truly forgotten, the larger of the two distances from "
        f"the retrained models in units of their spread), judged on the {len(others)} other zoos.",
        pd.DataFrame.from_dict(rows, orient="index"),
    )


def curves(found: list[Run], records: Path) -> Figure:
    """The paper's three curves over all zoos, for the table's first row; published ones beneath."""
    first = next(iter(sweep.rows(found).values()))
    collected: dict[str, dict[int, list[float]]] = {}
    for _, job in first:
        if job:
            for key, value in job["metrics"].items():
                if key.startswith("curve/"):
                    _, role, epoch = key.split("/")
                    collected.setdefault(role, {}).setdefault(int(epoch), []).append(value)
    measured = {
        role: {epoch: pd.Series(values) for epoch, values in sorted(collected[role].items())}
        for role in CURVES
        if role in collected
    }
    return verdict_plots.curves(measured, verdict_plots.published())


def verdict_map(found: list[Run], records: Path) -> Figure:
    """Forgotten-class accuracy against distance from the reference, for the table's first row, over all zoos."""
    jobs = next(iter(sweep.rows(found).values()))
    tables = [_suspects(config, records) for config, job in jobs if job]
    settings = jobs[0][0]["testbed"]
    kinds = {role: "judged" for table in tables for role in table["role"]}
    for kind in ("forgotten", "kept", "aside"):
        kinds |= dict.fromkeys(settings[kind], kind)
    return verdict_plots.verdict_map(pd.concat(tables), kinds)


def separations(found: list[Run], records: Path) -> Figure:
    """AUC of every verifier and reading against all that has not truly forgotten, with the mean interval."""
    readings = {"retrains": "near to retrained models", "reference": "far from the reference"}
    groups = {
        title: {
            label: _estimate(sweep.metrics(jobs), f"auc/{reading}/all")
            for label, jobs in sweep.rows(found).items()
            if sweep.metrics(jobs)
        }
        for reading, title in readings.items()
    }
    return plots.dots(groups, label="AUC, truly forgotten against everything else", chance=0.5)


def _believed(found: list[Run]) -> pd.DataFrame:
    settings = found[0][0]["testbed"]
    first = next((metrics for _, jobs in sweep.rows(found).items() for metrics in sweep.metrics(jobs)), {})
    roles = [key.removeprefix("believed/") for key in first if key.startswith("believed/")]
    named = [*settings["forgotten"], *settings["kept"]]
    last = [role for role in roles if role not in named and role not in settings["aside"]]
    columns = [role for role in named if role in roles] + last
    return pd.DataFrame.from_dict(
        {
            label: {role.replace("_", " "): _mean(sweep.metrics(jobs), f"believed/{role}") for role in columns}
            for label, jobs in sweep.rows(found).items()
        },
        orient="index",
    )


def _combined(first: list[Run], second: list[Run], records: Path, seeds: list[int]) -> float | None:
    """Mean AUC over these zoos of the larger of two distances from retrained models, each in units of its spread."""
    aucs = []
    for seed in seeds:
        parts = []
        for jobs in (first, second):
            for config, job in jobs:
                if job and config["seed"] == seed:
                    suspects = _suspects(config, records)
                    unit = max(job["metrics"]["spread"], 1e-12)
                    parts.append((suspects, (suspects["retrains"] / unit).fillna(np.inf)))
                    settings = config["testbed"]
        if len(parts) < 2:
            return None
        suspects, together = parts[0][0], np.fmax(parts[0][1], parts[1][1]).clip(upper=1e9)
        forgotten = suspects["role"].isin(settings["forgotten"])
        others = ~forgotten & ~suspects["role"].isin(settings["aside"])
        aucs.append(auc(together[forgotten].to_numpy(), together[others].to_numpy()).value)
    return float(np.mean(aucs))


def _suspects(config: dict, records: Path) -> pd.DataFrame:
    return pd.read_csv(records / record.folder(config).name / "suspects.csv", index_col=0)


def _ordered(metrics: dict[str, float]) -> bool:
    values = [metrics.get(f"distance/{role}", np.nan) for role in CURVES]
    return values[0] > values[1] > values[2]


def _mean(metrics: list[dict[str, float]], key: str) -> str:
    values = [one[key] for one in metrics if one.get(key) is not None and np.isfinite(one[key])]
    return f"{np.mean(values):.2f}" if values else "—"


def _estimate(metrics: list[dict[str, float]], key: str) -> tuple[float, float, float]:
    low, mean, high = (float(np.mean([one[name] for one in metrics])) for name in (f"{key}/low", key, f"{key}/high"))
    return mean, low, high
