"""Sections of a table's page that compare methods with each other, from their records."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from experiments.pages import sweep
from experiments.pages.section import section
from experiments.pages.sweep import Run
from experiments.statistics import ranking
from experiments.storage import record
from experiments.testbeds.task_relatedness.pictures import per_target


def reliability(found: list[Run], records: Path) -> str:
    """How far the measured truth agrees with itself: between halves of the scenes, and between zoos."""
    rows = {}
    first = next(iter(sweep.rows(found).values()))
    for value, title in sweep.sides(found).items():
        finished = [config for config, job in first if job and value in (None, sweep.across(config))]
        truths = [
            pd.read_csv(records / record.folder(config).name / "affinity.csv", index_col=0) for config in finished
        ]
        metrics = sweep.metrics(first, value)
        if not metrics:
            continue
        zoos = {
            kind: [
                ranking.column_correlation(-b, a, diagonal=kind == "with").mean() for a, b in combinations(truths, 2)
            ]
            for kind in ("with", "without")
        }

        def mean(key: str, metrics: list[dict[str, float]] = metrics) -> str:
            return f"{np.mean([one[key] for one in metrics]):.2f}"

        rows[title] = {
            "Halves of the scenes": mean("ceiling/split_half/spearman_without"),
            "(with diagonal)": mean("ceiling/split_half/spearman_with"),
            "Other zoo": f"{np.mean(zoos['without']):.2f}" if len(truths) > 1 else "—",
            "(other zoo, with diagonal)": f"{np.mean(zoos['with']):.2f}" if len(truths) > 1 else "—",
            "Families in the truth": mean("truth/families"),
            "Least learnt task": f"{min(one[k] for one in metrics for k in one if k.startswith('learnt/')):.2f}",
        }
    return section(
        "**How reliable the truth is**: mean column-wise Spearman between the affinities of two halves of the "
        "scenes, and of two zoos; P(two tasks of one family are nearer in the truth than two of different ones); "
        "the least share of the mean predictor's error that any encoder-decoder removes on held-out scenes.",
        pd.DataFrame.from_dict(rows, orient="index"),
    )


def paired(found: list[Run], records: Path) -> str:
    """The headline against every other method, paired over targets, for each setting that the table goes across."""
    settings = found[0][0]["table"]
    parts = []
    for value, title in sweep.sides(found).items():
        scores = per_target(found, value)
        others = [label for label in scores if label != settings["headline"]]
        if settings["headline"] not in scores or not others:
            continue
        differences = {
            label: ranking.paired_difference(scores[settings["headline"]], scores[label]) for label in others
        }
        adjusted = ranking.holm(pd.Series({label: difference.p for label, difference in differences.items()}))
        rows = {
            label: {
                "Difference": f"{difference.value:+.2f} [{difference.low:+.2f}, {difference.high:+.2f}]",
                "p": f"{difference.p:.4f}",
                "p (Holm)": f"{adjusted[label]:.4f}",
            }
            for label, difference in sorted(differences.items(), key=lambda item: item[1].value)
        }
        parts += [
            f"**{settings['headline']} minus each other method, {title}**: column-wise "
            "Spearman (diagonal left out, mean over zoos), mean over targets with bootstrap interval over targets, "
            "sign-flip permutation p and Holm's correction for all rows.",
            "",
            pd.DataFrame.from_dict(rows, orient="index").to_markdown(disable_numparse=True),
            "",
        ]
    return "\n".join(parts).rstrip()
