"""Published figures on the protection of classifiers: AUC by the authors' log of distances, and the paper's table."""

from collections.abc import Iterator
from itertools import product

import numpy as np
import pandas as pd

from experiments.pages.published.number import EARLIER, PublishedNumber, digits, worst
from experiments.statistics.intervals import auc, margin

BUDGETS, SELECTIONS = (256, 128, 64, 32, 16, 8), ("sort_by_distance_irr", "sort_by_distance_sur", "sort_by_gap")
PARTS = {
    "pruning_first10_of_15": ("pruning", slice(10)),
    "pruning_all15": ("pruning", slice(None)),
    "finetune_first10": ("finetune", slice(10)),
    "finetune_last10": ("finetune", slice(10, None)),
    "transfer_10c_first5": ("transfer_10c", slice(5)),
    "transfer_10c_last5": ("transfer_10c", slice(5, None)),
    "transfer_100_first5": ("transfer_100", slice(5)),
    "transfer_100_last5": ("transfer_100", slice(5, None)),
}
"""Attacks that are some models of a logged group; any other attack is a whole group."""
SCORED = ("finetune", "pruning_first10_of_15", "extract_l", "extract_p", "extract_adv", "transfer_10c", "transfer_100")
"""Attacks whose AUC the authors log: of 15 pruned models the first ten enter."""
POOLED = "all_cifar10_attacks_one_threshold"
NEGATIVES = {"transfer_10c": "irrelevant_10c", "transfer_100": "irrelevant_100"}
"""Unrelated models that solve the same task as a group's; all others are compared with `irrelevant`."""
TABLE = {
    "Finetune-A": "finetune_first10",
    "Finetune-L": "finetune_last10",
    "Pruning": "pruning_first10_of_15",
    "Extract-L": "extract_l",
    "Extract-P": "extract_p",
    "Extract-Adv": "extract_adv",
    "Transfer-10C": "transfer_10c",
    "Transfer-A": "transfer_100_first5",
    "Transfer-L": "transfer_100_last5",
}
"""Rows of the paper's table -> attacks; that transfer models 0-4 are A and 5-9 L is inferred from their distances."""


def log_blocks(log: pd.DataFrame, table: pd.DataFrame) -> Iterator[PublishedNumber]:
    """Logged AUC, and AUC, margin, means and sizes derived of rounded distances: 18 blocks, all attacks of a block."""
    rows = table.set_index(["reference_samples", "sample_selection", "attack"]).sort_index()
    for budget, selection in product(BUDGETS, SELECTIONS):
        block = _block(log, budget, selection)
        logged, derived = [], []
        for attack in dict.fromkeys((*SCORED, *PARTS, POOLED)):
            row, (related, unrelated) = rows.loc[(budget, selection, attack)], _sides(block, attack)
            value = auc(related, unrelated).value
            if attack in SCORED:
                # Distances are logged to four digits: behind a tie there may be an order, either way.
                slack = 0.5 * float((related[:, None] == unrelated).mean()) + digits(4)
                logged.append(PublishedNumber(attack, row["auc_logged"], value, slack, "authors' log"))
            for column, found, tolerance in [
                ("auc_recomputed_from_rounded", value, digits(4)),
                ("gap_min_neg_minus_max_attack", margin(related, unrelated), digits(4)),
                ("mean_attack", related.mean(), digits(4)),
                ("mean_negative", unrelated.mean(), digits(4)),
                ("n_attack", len(related), digits(0)),
                ("n_negative", len(unrelated), digits(0)),
            ]:
                derived.append(PublishedNumber(f"{column} of {attack}", row[column], found, tolerance, EARLIER))
        yield worst(f"IP log {budget} {selection}, logged AUC", logged)
        yield worst(f"IP log {budget} {selection}", derived)


def log_pooled(log: pd.DataFrame) -> Iterator[PublishedNumber]:
    """Under the published selection: one threshold for all models, and negatives that the selection did not see."""
    for budget, published in zip(BUDGETS, (0.81, 0.72, 0.65, 0.61, 0.48, 0.43), strict=True):
        block = _block(log, budget, SELECTIONS[0])
        related = np.concatenate([_sides(block, attack)[0] for attack in SCORED])
        negatives = [block[name] for name in ("irrelevant", *NEGATIVES.values())]
        value = auc(related, np.concatenate(negatives)).value
        yield PublishedNumber(f"IP log {budget}, one threshold for all", published, value, digits(2), EARLIER)
    block = _block(log, 256, SELECTIONS[0])
    unseen = np.concatenate([block[name] for name in NEGATIVES.values()])
    for attack, published in {"extract_p": 0.64, "extract_l": 0.09, "extract_adv": 0.18}.items():
        value = auc(block[attack], unseen).value
        yield PublishedNumber(f"IP log 256, {attack} against unselected models", published, value, digits(2), EARLIER)


def paper_table(log: pd.DataFrame, table: pd.DataFrame) -> Iterator[PublishedNumber]:
    """The paper's AUC of ModelGiF by its log of 256 samples; its rivals' come without data."""
    source = "Song et al. 2023, IP table"
    printed, block = table.set_index("attack"), _block(log, 256, SELECTIONS[0])
    for row, attack in TABLE.items():
        value = auc(*_sides(block, attack)).value
        yield PublishedNumber(f"ModelGiF AUC, {row}", printed.loc[row, "ModelGiF_auc"], value, digits(2), source)
    for row, column in product(("Extract-L", "Extract-P", "Extract-Adv"), printed.columns.drop("ModelGiF_auc")):
        yield PublishedNumber(f"{column.removesuffix('_auc')} AUC, {row}", printed.loc[row, column], None, None, source)


def _block(log: pd.DataFrame, budget: int, selection: str) -> dict[str, np.ndarray]:
    """Logged distances of each group of models, in the models' order."""
    found = log[(log["reference_samples"] == budget) & (log["sample_selection"] == selection)]
    groups = found.sort_values("index_in_group").groupby("group")["distance"]
    return {name: distances.to_numpy(float) for name, distances in groups}


def _sides(block: dict[str, np.ndarray], attack: str) -> tuple[np.ndarray, np.ndarray]:
    """Distances of an attack's models and of the unrelated models that they are told from."""
    if attack == POOLED:
        parts = [_sides(block, part)[0] for part in SCORED if part not in NEGATIVES]
        return np.concatenate(parts), block["irrelevant"]
    group, part = PARTS.get(attack, (attack, slice(None)))
    return block[group][part], block[NEGATIVES.get(group, "irrelevant")]
