"""Published figures, recomputed from published data: python -m experiments.pages.published [folder].

One line a figure; exit status 1 if one that can be recomputed does not come out as published, within the rounding of
what was published. Nothing is measured and no model is needed.
"""

import argparse
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import kendalltau, pearsonr, spearmanr
from tabulate import tabulate

from experiments.pages.published.ip_protection import log_blocks, log_pooled, paper_table
from experiments.pages.published.number import EARLIER, PublishedNumber, digits, read, worst
from experiments.statistics import ranking
from experiments.storage.files import PUBLISHED

MATRICES = (
    "task_relatedness_modelgif_distance_17x17.csv",
    "task_relatedness_rsa_similarity_17x17.csv",
    "taskonomy_affinity_17x17.csv",
)
OTHER_TRUTHS = tuple(
    f"taskonomy_{name}_17x17.csv"
    for name in (
        *("all_affinities_1k", "all_affinities_16k"),
        *("wins_vs_pixels_1k", "wins_vs_pixels", "wins_vs_pixels_16k"),
        *("wins_vs_task_1k", "wins_vs_task", "wins_vs_task_16k"),
    )
)
LOG, LOG_AUC = "ip_protection_authors_log_distances.csv", "ip_protection_authors_log_auc.csv"
IP_TABLE = "ip_protection_paper_table_cifar.csv"


def rankings(
    gif: pd.DataFrame, rsa: pd.DataFrame, truth: pd.DataFrame, methods: pd.DataFrame
) -> Iterator[PublishedNumber]:
    """Mean column Spearman and precisions of ModelGiF and RSA on Taskonomy's affinities."""
    rows = methods.set_index("method")
    for method, distance in {"ModelGiF": gif, "RSA": -rsa}.items():
        printed = rows.loc[method]
        for kind in ("with", "without"):
            value = ranking.column_correlation(distance, truth, diagonal=kind == "with").mean()
            if (method, kind) == ("ModelGiF", "with"):
                yield PublishedNumber(
                    f"{method} mean Spearman, as printed", 0.8349192618223761, value, 1e-12, "authors' README"
                )
            published = printed[f"spearman_mean_{kind}_diag"]
            yield PublishedNumber(f"{method} mean Spearman {kind} diagonal", published, value, digits(4), EARLIER)
        for k in (1, 2, 3, 4, 5, 10):
            value = ranking.precision_at_k(distance, truth, k).mean()
            yield PublishedNumber(f"{method} P@{k}, five best sources", printed[f"P@{k}"], value, digits(4), EARLIER)
        single = ranking.precision_at_k(distance, truth, 1, relevant=1).mean()
        published = {"ModelGiF": 0.471, "RSA": 0.294}[method]
        yield PublishedNumber(f"{method} P@1, single best source", published, single, digits(3), EARLIER)
    for name, row in rows.drop(["ModelGiF", "RSA"]).iterrows():
        source = "NeurIPS 2019, matrices read off figures"
        yield PublishedNumber(
            f"{name} mean Spearman without diagonal", row["spearman_mean_without_diag"], None, None, source
        )


def per_target(
    gif: pd.DataFrame, rsa: pd.DataFrame, truth: pd.DataFrame, table: pd.DataFrame
) -> Iterator[PublishedNumber]:
    """Each target's correlation, three coefficients, with and without diagonal; distances carry the table's sign."""
    rows = table.set_index(["matrix", "statistic", "diagonal"]).sort_index()
    statistics = {"spearman": spearmanr, "pearson": pearsonr, "kendall": kendalltau}
    signed = {"ModelGiF distance": (gif, -1), "RSA similarity": (-rsa, 1)}
    known = [*product(signed, statistics, ("with", "without"))]
    printed = ("ModelGiF distance (README of authors, published)", "spearman", "with")
    for matrix, statistic, kind in [*known, printed]:
        distance, sign = signed[matrix.partition(" (")[0]]
        found = sign * ranking.column_correlation(
            distance, truth, diagonal=kind == "with", statistic=statistics[statistic]
        )
        row = rows.loc[(matrix, statistic, kind)]
        # Ranks do not feel that the matrices are rounded to nine digits; Pearson's coefficient does, from there on.
        single, mean = (1e-8, 1e-8) if statistic == "pearson" else (digits(8), digits(10))
        numbers = [PublishedNumber(task, row[task], value, single, EARLIER) for task, value in found.items()]
        numbers.append(PublishedNumber("mean", row["mean"], found.mean(), mean, EARLIER))
        name = "ModelGiF distance, as printed" if matrix == printed[0] else matrix
        yield worst(f"{name}, {statistic} {kind} diagonal", numbers)


def intervals(gif: pd.DataFrame, rsa: pd.DataFrame, truth: pd.DataFrame) -> Iterator[PublishedNumber]:
    """Bootstrap over the 17 targets, without diagonal, and what knowing the sources alone is worth."""
    ours, theirs = (ranking.column_correlation(table, truth, diagonal=False) for table in (gif, -rsa))
    paired = ranking.paired_difference(ours, theirs)
    yield PublishedNumber("ModelGiF − RSA, paired", 0.070, paired.value, digits(3), EARLIER)
    for name, found, printed in [
        ("ModelGiF", ranking.over_targets(ours), (0.744, 0.856)),
        ("RSA", ranking.over_targets(theirs), (0.650, 0.809)),
        ("ModelGiF − RSA", paired, (0.004, 0.156)),
    ]:
        for end, published, value in zip(("low", "high"), printed, (found.low, found.high), strict=True):
            yield PublishedNumber(f"{name}, bootstrap 95 % {end}", published, value, 0.01, f"{EARLIER}, other draws")
    same = pd.DataFrame({target: -truth.mean(axis=1) for target in truth})
    value = ranking.column_correlation(same, truth, diagonal=False).mean()
    source = f"{EARLIER}, its definition inferred"
    yield PublishedNumber("Source's mean affinity, target included", 0.371, value, digits(3), source)
    ranks = truth.mask(np.eye(len(truth), dtype=bool)).rank()
    others = pd.DataFrame({target: -ranks.drop(columns=target).mean(axis=1) for target in truth})
    value = ranking.column_correlation(others, truth, diagonal=False).mean()
    yield PublishedNumber("Source's mean rank for the other targets", None, value, None, "")


def other_truths(gif: pd.DataFrame, rsa: pd.DataFrame, *truths: pd.DataFrame) -> Iterator[PublishedNumber]:
    """The two distances against Taskonomy's affinities of fewer and more images and its win rates."""
    for (file, truth), (method, distance) in product(
        zip(OTHER_TRUTHS, truths, strict=True), {"ModelGiF": gif, "RSA": -rsa}.items()
    ):
        value = ranking.column_correlation(distance, truth, diagonal=False).mean()
        name = file.removeprefix("taskonomy_").removesuffix("_17x17.csv")
        yield PublishedNumber(f"{method} mean Spearman without diagonal, {name}", None, value, None, "")


def unlearning(ends: pd.DataFrame, curves: pd.DataFrame) -> Iterator[PublishedNumber]:
    """Distances at the last epoch, printed, by the digitised curves."""
    curve = curves.set_index(["dataset", "comparison", "epoch"])["distance"]
    end = ends.set_index(["dataset", "comparison"])["cosine_field_distance"]
    for dataset, name in product(("CIFAR10", "CIFAR100"), ("direct", "unrelated", "approx")):
        published, value = end[dataset, f"ref(200) vs {name}(200)"], curve[dataset, name, 200]
        yield PublishedNumber(f"Unlearning, {dataset} {name}", published, value, 0.01, "Song et al. 2023, figure")


def peers(rsa: pd.DataFrame, truth: pd.DataFrame, dds: pd.DataFrame, depara: pd.DataFrame) -> Iterator[PublishedNumber]:
    """Figures of DDS and DEPARA, most of them without the data to recompute them."""
    printed, source = dds.set_index("method")["spearman_affinity"], "DDS, ECCV 2020, table 3"
    value = ranking.column_correlation(-rsa, truth, diagonal=True).mean()
    yield PublishedNumber("RSA, mean Spearman with diagonal", printed["RSA"], value, digits(3), source)
    for method, published in printed.drop(["RSA", "Taskonomy affinity"]).items():
        yield PublishedNumber(f"{method}, mean Spearman with diagonal", published, None, None, source)
    rows, source = depara.set_index(["probe", "metric"]), "DEPARA, CVPR 2020, table 1"
    for probe, metric in product(("taskonomy", "indoor", "coco"), ("P@1", "P@5")):
        row, name = rows.loc[(probe, metric)], f"{metric}, {probe} images"
        value = row[[f"DEPARA_{task}" for task in truth]].mean()
        yield PublishedNumber(f"DEPARA {name}", row["DEPARA_mean"], value, digits(2), source)
        for method in ("DEPARA-V", "DEPARA-E", "RSA"):
            yield PublishedNumber(f"{method} {name}", row[f"{method}_mean"], None, None, source)


SUBJECTS = [
    (rankings, (*MATRICES, "task_relatedness_methods_17task.csv")),
    (per_target, (*MATRICES, "task_relatedness_correlations.csv")),
    (intervals, MATRICES),
    (other_truths, (*MATRICES[:2], *OTHER_TRUTHS)),
    (log_blocks, (LOG, LOG_AUC)),
    (log_pooled, (LOG,)),
    (paper_table, (LOG, IP_TABLE)),
    (unlearning, ("unlearning_paper_end_distances.csv", "unlearning_paper_figure_digitised.csv")),
    (peers, (*MATRICES[1:], "dds_eccv2020_table3_taskonomy.csv", "depara_cvpr2020_table1.csv")),
]
"""Each function and the files whose tables it takes."""


def numbers(folder: Path) -> list[PublishedNumber]:
    """All figures: first those that can be compared, then those only recomputed, then those only published.

    Raises:
        ValueError: in one line, if a file is missing, damaged or lacks a row or column.
    """
    found: list[PublishedNumber] = []
    for function, files in SUBJECTS:
        tables = [read(folder / file) for file in files]
        try:
            found += function(*tables)
        except (KeyError, ValueError) as error:
            raise ValueError(f"{', '.join(files)}: {str(error).splitlines()[0]}") from error
    return sorted(found, key=lambda number: (number.recomputed is None, number.published is None))


def main(arguments: list[str]) -> int:
    """Print all figures; 1 if one does not come out as published or a file is missing or damaged, else 0."""
    parser = argparse.ArgumentParser(prog="python -m experiments.pages.published", description=main.__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=PUBLISHED, help="of the CSV files: %(default)s")
    folder = parser.parse_args(arguments).folder
    try:
        found = numbers(folder)
    except ValueError as error:
        print(f"{folder}: {error}", file=sys.stderr)
        return 1
    headers = ["figure", "published", "recomputed", "difference", "tolerance", "verdict", "source"]
    print(tabulate([_cells(number) for number in found], headers, tablefmt="plain", disable_numparse=True))
    verdicts = [number.verdict for number in found]
    missed = verdicts.count("MISMATCH")
    print(f"{verdicts.count('ok')} ok, {missed} mismatched, {verdicts.count('—')} with nothing to compare")
    return int(missed > 0)


def _cells(number: PublishedNumber) -> list[str]:
    difference = None if number.excess is None else number.recomputed - number.published
    values = [(number.published, ".6g"), (number.recomputed, ".6g"), (difference, "+.1e"), (number.tolerance, ".1e")]
    shown = ["—" if value is None else format(value, style) for value, style in values]
    return [number.name, *shown, number.verdict, number.source]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
