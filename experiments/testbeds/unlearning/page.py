"""Sections and pictures of experiments on unlearning: who is believed, the paper's order, two sources.

A seed is a zoo.
"""

from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from experiments.pages import plots
from experiments.pages.section import NOTHING, decimal, estimate, mean, section, values
from experiments.pages.sweep import Experiment, Run
from experiments.statistics.intervals import auc, margin
from experiments.storage import record
from experiments.testbeds.unlearning import pictures
from experiments.testbeds.unlearning.testbed import CURVES

REPRESENTATION = ("input-gradient", "feature", "weights")
"""Access of verifiers that look inside; all others judge behaviour."""


def believed(found: Experiment) -> str:
    """Which models each verifier takes for retrained ones."""
    table = _believed(found)
    aside = [label for label, runs in found.rows().items() if _calibrated_on_itself(runs)]
    return section(
        "**Whom each verifier believes**: share of the models of each role, over all zoos, whose distance from the "
        "calibrating retrained models stays below these models' own 95 % prediction bound and below that of every "
        "calibrating model that knows: unrelated ones, which are not scored. Without the second condition a verifier "
        "that cannot tell unrelated models from retrained ones would believe all of both; so it believes few of "
        "either. The first columns have truly forgotten; a verifier is fooled wherever it believes one of the others "
        "that knows. A field that vanishes is not believed." + _counted_twice(found) + _footnote(aside),
        table.map(decimal).rename(index={label: f"{label} †" for label in aside}),
    )


def believed_map(found: Experiment, draw: Any = plots) -> Any:
    """The same as colours."""
    table = _believed(found)
    title = "Share of models believed to be retrained"
    return draw.heat_map(table, title=title, label="share believed") if table.size else None


def order(found: Experiment) -> str:
    """The paper's order of distances from the reference, with what explains it."""
    rows = {}
    for label, runs in found.rows().items():
        metrics = found.metrics(runs)
        if not metrics:
            continue
        rows[label] = {
            "Retrained": decimal(mean(metrics, "distance/retrain")),
            "Unrelated": decimal(mean(metrics, "distance/unrelated")),
            "Approximate": decimal(mean(metrics, "distance/approximate")),
            "Zoos in the paper's order": f"{sum(map(_ordered, metrics))} of {len(metrics)}",
            "P(retrained > unrelated)": decimal(mean(metrics, "order/retrain_beyond_unrelated")),
            "P(unrelated > approximate)": decimal(mean(metrics, "order/unrelated_beyond_approximate")),
            "Encoder saw, head not": decimal(mean(metrics, "distance/swap_saw_without")),
            "Head saw, encoder not": decimal(mean(metrics, "distance/swap_new_with")),
        }
    return section(
        "**The paper's order**, retrained (directly unlearned) > unrelated > approximate: mean distance from the "
        "reference. The last two columns take it apart: an unrelated encoder under a new head that never saw the "
        "class, and a retrained encoder under a new head that did. If forgetting sat in the encoder, the last "
        "column would be like the first; if it sits in the untrained output, like the second.",
        pd.DataFrame.from_dict(rows, orient="index"),
    )


def held_out(found: Experiment) -> str:
    """Every verifier on the first zoo, where settings were chosen, and on the others."""
    development, rows = found.seeds()[0], {}
    for label, runs in found.rows().items():
        parts = {
            "Zoo of development": [run for run in runs if run.seed == development],
            "Other zoos": [run for run in runs if run.seed != development],
        }
        if found.metrics(runs):
            rows[label] = {
                f"{title}, {reading}": decimal(mean(found.metrics(part), f"auc/{key}/all"))
                for key, reading in {"retrains": "near", "reference": "far"}.items()
                for title, part in parts.items()
            }
    return section(
        f"**Held-out zoos**: AUC against all that has not truly forgotten, on zoo {development}, where settings of "
        "exploratory variants were chosen, and on the other zoos, where nothing was.",
        pd.DataFrame.from_dict(rows, orient="index"),
    )


def two_sources(found: Experiment) -> str:
    """The best pair of a behaviour and a representation on the first zoo, judged on the others."""
    access = {label: runs[0].config["method"]["access"] for label, runs in found.rows().items()}
    asked = {label: runs for label, runs in found.rows().items() if access[label] != "architecture"}  # not the null
    verifiers = {label: _by_seed(runs) for label, runs in asked.items() if not _without_unit(runs)}
    inside = {label for label in asked if access[label] in REPRESENTATION}
    development, *others = found.seeds()
    measured = [label for label, runs in verifiers.items() if development in runs]
    pairs = {
        (first, second): _told_apart(verifiers[first][development], verifiers[second][development])
        for first, second in product(measured, measured)
        if first not in inside and second in inside
    }
    others = [seed for seed in others if any(seed in runs for runs in verifiers.values())]
    if not pairs or not others:
        return "**Two sources**: not run."
    rows = {}
    for first, second in sorted(pairs, key=lambda pair: pairs[pair], reverse=True)[:6]:
        one, other = verifiers[first], verifiers[second]
        common = [seed for seed in others if seed in one and seed in other]
        few = f" ({len(common)} zoo{'s' * (len(common) > 1)})" if 0 < len(common) < len(others) else ""
        rows[f"{first} and {second}"] = {
            "Development zoo": decimal(pairs[first, second][0]),
            "Other zoos": decimal(_combined(one, other, common)) + few,
            "First alone": decimal(_combined(one, one, common)) + few,
            "Second alone": decimal(_combined(other, other, common)) + few,
        }
    aside = [label for label in asked if label not in verifiers]
    return section(
        f"**Two sources**: of {len(pairs)} pairs of a verifier of behaviour and one of representation, the six "
        "best on the first zoo (AUC against all that has not truly forgotten, the larger of the two distances from "
        "the retrained models in units of these models' own 95 % prediction bound; of equal ones those with the wider "
        f"gap), judged on the {len(others)} other zoos."
        + (f" Without {', '.join(aside)}, whose bound is 0 or means nothing (†)." if aside else ""),
        pd.DataFrame.from_dict(rows, orient="index"),
    )


def curves(found: Experiment, draw: Any = pictures) -> Any:
    """The paper's three curves over the models of all zoos, for the table's first row; published ones beneath."""
    first = next(iter(found.rows().values()))
    runs = [run for run in found.on(None, first) if "curves.csv" in (run.record or {}).get("files", ())]
    tables = [record.matrix(run.folder, "curves") for run in runs]
    points = pd.concat(tables) if tables else pd.DataFrame()
    if not len(points):
        return None
    measured = points.sort_values("role", key=lambda roles: roles.map(CURVES.index), kind="stable")
    return draw.lines(measured, pictures.published(), names=pictures.CURVE_WORDS)


def verdict_map(found: Experiment, draw: Any = pictures) -> Any:
    """Forgotten-class accuracy against distance from the reference, for the table's first row, over all zoos."""
    runs = next(iter(found.rows().values()))
    tables = [record.matrix(run.folder, "suspects") for run in found.on(None, runs)]
    if not tables:
        return None
    suspects = pd.concat(tables)
    kinds = pictures.kinds(runs[0].config["testbed"], suspects["role"])
    return draw.scatter(suspects, kinds, names=pictures.WORDS)


def separations(found: Experiment, draw: Any = plots) -> Any:
    """AUC of every verifier and reading against all that has not truly forgotten, with the mean interval."""
    readings = {"retrains": "near to retrained models", "reference": "far from the reference"}
    groups = {
        title: {
            label: estimate(found.metrics(runs), f"auc/{reading}/all")
            for label, runs in found.rows().items()
            if found.metrics(runs)
        }
        for reading, title in readings.items()
    }
    return draw.dots(groups, label="AUC, truly forgotten against everything else", chance=0.5)


def _believed(found: Experiment) -> pd.DataFrame:
    """Share of the models of each role that a verifier believes, NaN where its own bound means nothing."""
    settings = found.runs[0].config["testbed"]
    keys = dict.fromkeys(key for metrics in found.metrics(found.runs) for key in metrics if key.startswith("believed/"))
    roles = [key.removeprefix("believed/") for key in keys]
    named = [*settings["forgotten"], *settings["kept"]]
    last = [role for role in roles if role not in named and role not in settings["aside"]]
    columns = [role for role in named if role in roles] + last
    rows = {
        label: {
            role.replace("_", " "): np.nan
            if _calibrated_on_itself(runs)
            else mean(found.metrics(runs), f"believed/{role}")
            for role in columns
        }
        for label, runs in found.rows().items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def _calibrated_on_itself(runs: list[Run]) -> bool:
    return pictures.calibrated_on_itself(runs[0].config["method"])


def _footnote(labels: list[str]) -> str:
    if not labels:
        return ""
    return (
        f" † {', '.join(labels)} took the calibrating models as examples of what it looks for: their spread, on which "
        f"belief rests, says nothing of new models, so its cells are {NOTHING}."
    )


def _counted_twice(found: Experiment) -> str:
    """What to say where a zoo has copies that are one model, of which one is scored; nothing where it has none."""
    most = max(values(found.metrics(found.runs), "twins"), default=0)
    return f" Of one zoo's suspects {most:.0f} are the same model as another one, and left out." if most else ""


def _by_seed(runs: list[Run]) -> dict[int, Run]:
    return {run.seed: run for run in runs if run.record}


def _without_unit(runs: list[Run]) -> bool:
    """Whether calibrating models do not say what a distance is worth: they are examples, or no two of them differ."""
    return _calibrated_on_itself(runs) or any(not run.record["metrics"]["spread"] > 0 for run in runs if run.record)


def _combined(first: dict[int, Run], second: dict[int, Run], seeds: list[int]) -> float:
    """Mean over these zoos of what `_told_apart` says first."""
    return float(np.mean([_told_apart(first[seed], second[seed])[0] for seed in seeds])) if seeds else np.nan


def _told_apart(first: Run, second: Run) -> tuple[float, float]:
    """AUC and margin of the larger of two distances from retrained models, each in units of its own bound."""
    settings = first.config["testbed"]
    suspects, one = _in_units_of_bound(first)
    together = np.fmax(one, _in_units_of_bound(second)[1]).clip(upper=1e9)
    forgotten = suspects["role"].isin(settings["forgotten"])
    others = ~forgotten & ~suspects["role"].isin(settings["aside"])
    sides = together[forgotten].to_numpy(), together[others].to_numpy()
    return auc(*sides).value, margin(*sides)


def _in_units_of_bound(run: Run) -> tuple[pd.DataFrame, pd.Series]:
    suspects = record.matrix(run.folder, "suspects")
    return suspects, (suspects["retrains"] / (run.record or {})["metrics"]["spread"]).fillna(np.inf)


def _ordered(metrics: dict[str, float]) -> bool:
    values = [metrics.get(f"distance/{role}", np.nan) for role in CURVES]
    return values[0] > values[1] > values[2]
