"""Sections and pictures of experiments on task relatedness, from their runs; a seed is a zoo."""

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.pages import plots
from experiments.pages.section import NOTHING, decimal, estimate, mean, probability, section
from experiments.pages.sweep import Experiment, Run
from experiments.statistics import ranking as statistics
from experiments.storage import record
from experiments.testbeds.task_relatedness import pictures, sound
from experiments.testbeds.task_relatedness.tasks import FAMILIES


def reliability(found: Experiment) -> str:
    """How far the measured truth agrees with itself: between halves of the scenes, and between zoos."""
    rows = {}
    first = next(iter(found.rows().values()))
    for side, title in found.sides().items():
        truths = [record.matrix(run.folder, "affinity") for run in found.on(side, first)]
        metrics = found.metrics(first, side)
        learnt = [one[key] for one in metrics for key in one if key.startswith("learnt/")]
        if not metrics:
            continue
        rows[title] = {
            "Halves of the scenes": decimal(mean(metrics, "ceiling/split_half/spearman_without")),
            "All scenes (Spearman–Brown)": decimal(_lengthened(mean(metrics, "ceiling/split_half/spearman_without"))),
            "(with diagonal)": decimal(mean(metrics, "ceiling/split_half/spearman_with")),
            "Other zoo": decimal(_between(truths, diagonal=False)),
            "(other zoo, with diagonal)": decimal(_between(truths, diagonal=True)),
            "Families in the truth": decimal(mean(metrics, "truth/families")),
            "Least learnt task": decimal(min(learnt, default=np.nan)),
            "Targets are worth": decimal(float(np.mean([sound.dimensions(truth) for truth in truths]))),
        }
    if not rows:
        return "**How reliable the truth is**: not run."
    return section(
        "**How reliable the truth is**: mean column-wise Spearman between the affinities of two halves of the "
        "scenes, what it would be between two sets as large as the whole (Spearman–Brown), and of two zoos; P(two "
        "tasks of one family are nearer in the truth than two of different ones); the least share of the mean "
        "predictor's error that any encoder-decoder removes on held-out scenes; and how many independent targets the "
        "targets are worth, by the participation ratio of their affinities' correlations. Intervals over targets take "
        "all of them as independent and are too narrow by that much.",
        pd.DataFrame.from_dict(rows, orient="index"),
    )


def second_score(found: Experiment) -> str:
    """The headline score without encoders that hardly learnt and targets whose truth does not agree with itself."""
    metrics = found.metrics(found.runs)
    first = next(iter(found.rows().values()))
    truths = {side: [record.matrix(run.folder, "affinity") for run in found.on(side, first)] for side in found.sides()}
    without = sound.unsound(metrics, max(truths.values(), key=len))
    rows: dict[str, dict[str, str]] = {}
    for label, runs in found.rows().items():
        for side, title in found.sides().items():
            squares = [pictures.squares(run.folder) for run in found.on(side, runs)]
            truth = [record.matrix(run.folder, "affinity") for run in found.on(side, runs)]
            scores = [sound.score(square["distance"], one, without) for square, one in zip(squares, truth, strict=True)]
            cells = rows.setdefault(label, {})
            cells[title] = _interval(*np.mean(scores, axis=0)) if scores else NOTHING
            cells[f"all targets, {title}"] = decimal(mean(found.metrics(runs, side), "spearman_without"))
    return section(
        "**A second score**: column-wise Spearman without diagonal, mean over targets and zoos, with its interval over "
        f"targets, beside the full one. Left out as sources and targets are encoders that remove less than "
        f"{sound.LEARNT} of the mean predictor's error ({_listed(without.encoders)}), and as targets those whose truth "
        f"agrees with itself, from other scenes or another zoo, by a Spearman below {sound.AGREES} "
        f"({_listed(without.targets)}). Both limits were chosen after the fact.",
        pd.DataFrame.from_dict(rows, orient="index"),
    )


def paired(found: Experiment) -> str:
    """The headline against every other method, paired over zoos and targets, for each setting that the page crosses."""
    parts = []
    headline = found.page["headline"]
    for side, title in found.sides().items():
        scores = per_target(found, side)
        if headline not in scores or len(scores) < 2:
            continue
        ours = scores.pop(headline)
        zoos = {label: ours.columns.intersection(theirs.columns) for label, theirs in scores.items()}
        differences = {
            label: statistics.paired_difference(*_both(ours[zoos[label]], theirs[zoos[label]]))
            for label, theirs in scores.items()
            if len(zoos[label])
        }
        adjusted = statistics.holm(pd.Series({label: one.p for label, one in differences.items()}, dtype=float))
        rows = {
            label: {
                "Difference": f"{one.value:+.2f} [{one.low:+.2f}, {one.high:+.2f}]",
                "p": probability(one.p, digits=4),
                "p (Holm)": probability(adjusted[label], digits=4),
                "Zoos": len(zoos[label]),
            }
            for label, one in sorted(differences.items(), key=lambda item: item[1].value)
        }
        apart = {"Difference": NOTHING, "p": NOTHING, "p (Holm)": NOTHING, "Zoos": 0}
        rows |= {label: apart for label in scores if label not in differences}
        explanation = (
            f"**{headline} minus each other method, {title}**: column-wise Spearman (diagonal left out, mean over the "
            "zoos that both were measured on), mean over targets with bootstrap interval over targets, "
            "sign-flip permutation p and Holm's correction for all rows."
        )
        parts.append(section(explanation, pd.DataFrame.from_dict(rows, orient="index")))
    return "\n\n".join(parts)


def ranking(found: Experiment, draw: Any = plots) -> Any:
    """Every method's mean column-wise Spearman with its interval, one colour for each setting the page crosses."""
    rows = {label: (runs, "") for label, runs in found.rows().items()}
    first = next(iter(found.rows().values()))
    rows |= {label: (first, f"{prefix}/") for label, prefix in (found.page.get("controls") or {}).items()}
    estimates = {
        title: {
            label: estimate(found.metrics(runs, side), f"{prefix}spearman_without")
            for label, (runs, prefix) in rows.items()
        }
        for side, title in found.sides().items()
    }
    return draw.dots(estimates, label="mean column-wise Spearman with the affinity, diagonal left out")


def matrices(found: Experiment) -> Figure | None:
    """Truth, headline and best baseline side by side, on the first zoo that both were measured on."""
    squares = _squares(found)
    return pictures.coloured(squares) if squares else None


def trees(found: Experiment) -> Figure | None:
    """Their similarity trees, leaves coloured by task family."""
    squares = _squares(found)
    return pictures.grown(squares) if squares else None


def every_square(found: Experiment, draw: Any) -> Any:
    """Distances of every method beside the truth, on the first zoo; None if the headline has not run."""
    side, seed = next(iter(found.sides())), found.seeds()[0]
    squares: dict[str, pd.DataFrame] = {}
    for label, runs in found.rows().items():
        for run in found.on(side, (run for run in runs if run.seed == seed)):
            squares |= pictures.squares(run.folder, label)
    headline = found.page["headline"]
    if headline not in squares:
        return None
    return draw.explorer(squares, truth=pictures.TRUTH, first=headline, groups=FAMILIES)


def targets(found: Experiment, draw: Any = pictures) -> Any:
    """Scores target by target, mean over zoos: headline and best baseline."""
    scores, shown = _first_side(found), _shown(found)
    return draw.bars({name: scores[name].mean(axis=1) for name in shown}, label=pictures.SCORE) if shown else None


def per_target(found: Experiment, side: str | None) -> dict[str, pd.DataFrame]:
    """Each row's scores, for those rows that have run: index target, columns zoos by their seed."""
    scores = {}
    for label, runs in found.rows().items():
        done = {run.seed: pictures.per_target(run.record["metrics"]) for run in found.on(side, runs) if run.record}
        if done:
            scores[label] = pd.DataFrame(done)
    return scores


def _both(ours: pd.DataFrame, theirs: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Means over zoos, target by target, of what is defined for both; NaN for a target that never is."""
    ours, theirs = ours.align(theirs)
    known = ours.notna() & theirs.notna()
    return ours.where(known).mean(axis=1), theirs.where(known).mean(axis=1)


def _lengthened(agreement: float) -> float:
    """Agreement of two measurements of twice the length (Spearman, 1910; Brown, 1910).

    >>> round(_lengthened(0.6), 2)
    0.75
    """
    return 2 * agreement / (1 + agreement)


def _between(truths: list[pd.DataFrame], *, diagonal: bool) -> float:
    found = [statistics.column_correlation(-b, a, diagonal=diagonal).mean() for a, b in combinations(truths, 2)]
    return float(np.mean(found)) if found else np.nan


def _squares(found: Experiment) -> dict[str, pd.DataFrame]:
    """Truth, headline and best baseline on one zoo; empty if there is none that all of them were measured on."""
    side, rows = next(iter(found.sides())), found.rows()
    runs: dict[str, dict[int, Run]] = {
        label: {run.seed: run for run in found.on(side, rows[label])} for label in _shown(found)
    }
    common = [seed for seed in found.seeds() if runs and all(seed in measured for measured in runs.values())]
    squares: dict[str, pd.DataFrame] = {}
    for label, measured in runs.items() if common else ():
        own = pictures.squares(measured[common[0]].folder, label)
        squares = {pictures.TRUTH: own[pictures.TRUTH]} | squares | {label: own[label]}
    return squares


def _interval(value: float, low: float, high: float) -> str:
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"


def _listed(named: pd.Series) -> str:
    return ", ".join(f"{task} {decimal(value)}" for task, value in named.sort_values().items()) or "none"


def _first_side(found: Experiment) -> dict[str, pd.DataFrame]:
    return per_target(found, next(iter(found.sides())))


def _shown(found: Experiment) -> list[str]:
    """The headline and the best baseline, as far as they have run."""
    scores = pd.Series({label: one.mean(axis=1).mean() for label, one in _first_side(found).items()}, dtype=float)
    baselines = scores.drop([found.page["headline"], *found.page["variants"]], errors="ignore")
    return [label for label in (found.page["headline"], *baselines.nlargest(1).index) if label in scores]
