"""Do distances between encoders agree with how well their tasks transfer? Every source is ranked for every target."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations, combinations_with_replacement

import numpy as np
import pandas as pd
from scipy.stats import kendalltau
from sklearn.metrics import roc_auc_score

from experiments.interfaces import Pair, Report, Samples, Zoo
from experiments.statistics import ranking
from experiments.statistics.intervals import refuse_dead
from experiments.storage.tables import as_written
from experiments.testbeds.task_relatedness.affinity import Truth, as_square, dissimilarity
from experiments.testbeds.task_relatedness.tasks import FAMILIES
from modelgif_core.readout import Readout
from modelgif_core.view import View


@dataclass(frozen=True)
class TaskRelatedness:
    """All pairs of the encoders of at least four tasks, one encoder a task; the zoo's names are the tasks.

    Scores compare distances with an affinity: positive where nearer sources transfer better. Metrics named
    `ceiling/...` and `control/...` are the same scores of predictors that look at the truth instead of the models.
    """

    zoo: Zoo
    samples: Samples
    budget: int
    readout: Readout
    view: View
    affinity: Callable[[Zoo], Truth]
    """Zoo -> how well its tasks transfer: measured on these very encoders, or published."""

    def __post_init__(self) -> None:
        strangers = sorted({model.role for model in self.zoo.values()} - {"encoder"})
        if strangers:
            raise ValueError(f"task relatedness compares encoders; this zoo has the roles {', '.join(strangers)}")
        if len(self.zoo) < 4:
            raise ValueError(f"task relatedness needs the encoders of at least four tasks, not {len(self.zoo)}")

    @property
    def tested_roles(self) -> frozenset[str]:
        """Every encoder is scored."""
        return frozenset({"encoder"})

    @property
    def offers(self) -> frozenset[str]:
        """Labels, if the samples have them: encoders have no classes, and every one is scored."""
        return frozenset({"labels"} if self.samples.labels is not None else ())

    def pairs(self) -> list[Pair]:
        """Each two tasks once, and each with itself."""
        return list(combinations_with_replacement(self.zoo, 2))

    def score(self, distances: pd.DataFrame) -> Report:
        """Rank correlations with the affinity, target by target, and what predictors reach that know the truth."""
        refuse_dead(distances)
        truth = self.affinity(self.zoo)
        distance = as_square(as_written(distances.mean(axis=1)), list(self.zoo))
        columns = ranking.column_correlation(distance, truth.affinity, diagonal=False)
        metrics = agreement(distance, truth.affinity)
        metrics |= {f"target/{task}": value for task, value in columns.items() if pd.notna(value)}
        metrics["mantel_p"] = ranking.mantel(distance, truth.affinity)
        metrics |= families(distance, "families") | families(dissimilarity(truth.affinity), "truth/families")
        for name, (predictor, judge) in references(truth).items():
            metrics |= {f"{name}/{key}": value for key, value in agreement(predictor, judge).items()}
        metrics |= {f"control/random_symmetric/{key}": value for key, value in chance(truth.affinity).items()}
        if truth.halves:
            agree = ranking.column_correlation(-truth.halves[1], truth.halves[0], diagonal=False)
            metrics |= {f"self/{task}": value for task, value in agree.items() if pd.notna(value)}
        gains = {name: model.facts().get("gain") for name, model in self.zoo.items()}
        metrics |= {f"learnt/{name}": gain for name, gain in gains.items() if gain is not None}
        metrics["dead_references"] = int(distances.isna().sum().sum())
        metrics["dead_share"] = float(distances.isna().mean().mean())
        return Report(metrics, {"affinity": truth.affinity})


def agreement(distance: pd.DataFrame, affinity: pd.DataFrame) -> dict[str, float]:
    """Every score of a distance against an affinity: correlations from -1 to 1, precisions from 0 to 1, best 1.

    Targets whose column is constant have no correlation; they are left out and counted as `undefined`.

    Raises:
        ValueError: if fewer than two targets have one.
    """
    found: dict[str, float] = {}
    for kind, diagonal in {"with": True, "without": False}.items():
        spearman = ranking.column_correlation(distance, affinity, diagonal=diagonal)
        kendall = ranking.column_correlation(distance, affinity, diagonal=diagonal, statistic=kendalltau)
        value, low, high = ranking.over_targets(spearman)
        found |= {f"spearman_{kind}": value, f"spearman_{kind}/low": low, f"spearman_{kind}/high": high}
        found[f"kendall_{kind}"] = float(kendall.mean())
        found["undefined"] = int(spearman.isna().sum())
    for k in (1, 5):
        found[f"precision_at_{k}"] = float(ranking.precision_at_k(distance, affinity, k).mean())
    found["best_source_found"] = float(ranking.precision_at_k(distance, affinity, 1, relevant=1).mean())
    return found


def families(distance: pd.DataFrame, name: str) -> dict[str, float]:
    """P(two tasks of one family are nearer than two of different ones): 1 families stand apart, 0.5 they do not show.

    Empty if the tasks are not Taskonomy's.
    """
    family = {task: name for name, tasks in FAMILIES.items() for task in tasks}
    pairs = list(combinations(distance, 2))
    if not set(distance) <= set(family):
        return {}
    same = [family[a] == family[b] for a, b in pairs]
    return (
        {name: float(roc_auc_score(same, [-distance.loc[pair] - distance.loc[pair[::-1]] for pair in pairs]))}
        if 0 < sum(same) < len(same)
        else {}
    )


def references(truth: Truth) -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
    """Predictors made of the truth itself, as distances, and the truth to judge each by.

    Ceilings: the truth from one half of the scenes judged by the other's, and the symmetrised truth, which no
    symmetric distance surpasses by much. Control: a source's mean rank for all other targets, which knows nothing of
    how two tasks relate, with the diagonal best, as every distance has it.
    """
    affinity = truth.affinity
    tasks = len(affinity)
    ranks = affinity.rank().to_numpy()
    others = ranks * (1 - np.eye(tasks))
    source_mean = (others.sum(1, keepdims=True) - others) / (tasks - 2)
    np.fill_diagonal(source_mean, source_mean.max() + 1)

    def as_distance(values: np.ndarray) -> pd.DataFrame:
        return pd.DataFrame(-values, affinity.index, affinity.columns)

    found = {
        "ceiling/symmetrised": (as_distance(ranks + ranks.T), affinity),
        "control/source_mean": (as_distance(source_mean), affinity),
    }
    if truth.halves:
        first, second = truth.halves
        found["ceiling/split_half"] = (-second, first)
    return found


def chance(affinity: pd.DataFrame, *, draws: int = 20) -> dict[str, float]:
    """What random symmetric distances, least to themselves, score: means over draws of `agreement`'s numbers."""
    tasks = len(affinity)
    found = []
    for seed in range(draws):
        random = np.random.default_rng(seed).random((tasks, tasks))
        distance = random + random.T
        np.fill_diagonal(distance, -1)
        found.append(agreement(pd.DataFrame(distance, affinity.index, affinity.columns), affinity))
    return pd.DataFrame(found).mean().to_dict()
