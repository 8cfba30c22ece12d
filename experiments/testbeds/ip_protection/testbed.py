"""Is a suspect a copy of the victim? Derived models against independent ones, attack by attack."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from experiments.commands.refusal import nearest
from experiments.interfaces import Pair, Report, Samples, Zoo
from experiments.statistics.intervals import auc, margin, named, refuse_dead, tpr_at_fpr
from modelgif_core.readout import Readout
from modelgif_core.view import View

CALIBRATIONS = ("none", "pool", "architecture")
RATES = {1: 0.01, 5: 0.05, 10: 0.10}


@dataclass(frozen=True)
class IPProtection:
    """Victim against suspects.

    Roles of the zoo: `victim`; each attack's name; `unrelated_<task>`, the negatives that are scored;
    `held_out_<task>`, independent models that calibrate and select, and are never scored.
    """

    zoo: Zoo
    samples: Samples
    budget: int
    readout: Readout
    view: View
    attacks: Mapping[str, str]
    """Attack -> task whose unrelated models it must be told from."""
    calibration: str = "none"
    """What is subtracted from a distance: nothing, the mean distance of the task's held-out models, or of those of
    the suspect's architecture."""

    def __post_init__(self) -> None:
        if self.calibration not in CALIBRATIONS:
            raise ValueError(f"calibration must be one of {', '.join(CALIBRATIONS)}, not {self.calibration!r}")
        known = {model.role for model in self.zoo.values()}
        for role in ["victim", *sorted(self.tested_roles)]:
            if role not in known:
                has = nearest(role, sorted(known), "the roles are")
                raise ValueError(f"no model of the zoo has the role {role!r}; {has}")

    @property
    def tested_roles(self) -> frozenset[str]:
        """Attacks and the negatives of their tasks."""
        return frozenset(self.attacks) | {f"unrelated_{task}" for task in self.attacks.values()}

    @property
    def offers(self) -> frozenset[str]:
        """Classifiers of the same classes, the victim among them; labels, if the samples have them."""
        labels = {"labels"} if self.samples.labels is not None else set()
        return frozenset({"classifiers", "equal_classes", "heads", "source"} | labels)

    def pairs(self) -> list[Pair]:
        """The victim with every scored model and, if they calibrate, with the held-out ones."""
        victim = self._names("victim")[0]
        held_out = {f"held_out_{task}" for task in self.attacks.values()} if self.calibration != "none" else set()
        return [(victim, name) for name, model in self.zoo.items() if model.role in self.tested_roles | held_out]

    def score(self, distances: pd.DataFrame) -> Report:
        """AUC, margin and TPR for every attack and over all of them, with intervals; curves over the budget."""
        refuse_dead(distances)
        table = self._calibrated(distances.droplevel("source"))
        mean = table.mean(axis=1)
        metrics: dict[str, float] = {}
        for attack in self.attacks:
            self._judge(metrics, attack, *self._sides(mean, attack))
        every = frozenset(self.attacks.values())
        related = mean[[name for attack in self.attacks for name in self._names(attack)]]
        unrelated = mean[[name for task in sorted(every) for name in self._names(f"unrelated_{task}")]]
        self._judge(metrics, "pooled", related, unrelated)
        metrics["auc/mean"] = float(np.mean([metrics[f"auc/{attack}"] for attack in self.attacks]))
        metrics["dead_references"] = int(distances.isna().sum().sum())
        metrics["dead_share"] = float(distances.isna().mean().mean())
        matrices = {"suspects": self._suspects(mean)}
        curves = self._curves(table)
        if len(curves):
            matrices["curves"] = curves
            named = zip(curves["references"], curves["attack"], curves["value"], strict=True)
            metrics |= {f"auc_at_{references}/{attack}": value for references, attack, value in named}
        return Report(metrics, matrices)

    def _judge(self, metrics: dict[str, float], name: str, related: pd.Series, unrelated: pd.Series) -> None:
        metrics |= named(f"auc/{name}", auc(related.to_numpy(), unrelated.to_numpy()))
        metrics[f"margin/{name}"] = margin(related.to_numpy(), unrelated.to_numpy())
        metrics[f"n_related/{name}"], metrics[f"n_unrelated/{name}"] = len(related), len(unrelated)
        for percent, rate in RATES.items():
            estimate = tpr_at_fpr(related.to_numpy(), unrelated.to_numpy(), rate)
            metrics |= named(f"tpr_at_{percent}/{name}", estimate)

    def _sides(self, mean: pd.Series, attack: str) -> tuple[pd.Series, pd.Series]:
        return mean[self._names(attack)], mean[self._names(f"unrelated_{self.attacks[attack]}")]

    def _calibrated(self, table: pd.DataFrame) -> pd.DataFrame:
        if self.calibration == "none":
            return table
        adjusted = table.copy()
        for name in table.index:
            task = self._task(name)
            peers = [
                peer
                for peer in self._names(f"held_out_{task}")
                if self.calibration == "pool" or self.zoo[peer].architecture == self.zoo[name].architecture
            ]
            if not peers:
                raise ValueError(f"calibration={self.calibration}: no held-out model of {task} is like {name}")
            adjusted.loc[name] = table.loc[name] - table.loc[peers].mean()
        return adjusted

    def _task(self, name: str) -> str:
        role = self.zoo[name].role
        return self.attacks.get(role) or role.removeprefix("unrelated_").removeprefix("held_out_")

    def _curves(self, table: pd.DataFrame) -> pd.DataFrame:
        """AUC of each attack on the first 1, 2, 4, ... reference points: one measurement serves every budget."""
        sizes = [2**power for power in range(12) if 2**power < table.shape[1]] + [table.shape[1]]
        rows = []
        for size in sizes if len(sizes) > 1 else []:
            mean = table.iloc[:, :size].mean(axis=1)
            for attack in self.attacks:
                related, unrelated = (side.dropna().to_numpy() for side in self._sides(mean, attack))
                if len(related) and len(unrelated):
                    rows.append({"attack": attack, "references": size, **auc(related, unrelated)._asdict()})
        return pd.DataFrame(rows)

    def _suspects(self, mean: pd.Series) -> pd.DataFrame:
        """Role, task and calibrated mean distance of every scored model: the attacks' first, then unrelated ones."""
        roles = [*self.attacks, *sorted(self.tested_roles - set(self.attacks))]
        names = [name for role in roles for name in self._names(role)]
        rows = {"role": [self.zoo[name].role for name in names], "task": [self._task(name) for name in names]}
        return pd.DataFrame({**rows, "distance": mean[names]}, index=pd.Index(names, name="suspect"))

    def _names(self, role: str) -> list[str]:
        return [name for name, model in self.zoo.items() if model.role == role]
