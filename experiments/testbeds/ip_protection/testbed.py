"""Is a suspect a copy of the victim? Derived models against independent ones, attack by attack."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from experiments.commands.refusal import nearest
from experiments.interfaces import Pair, Report, Samples, Zoo
from experiments.statistics.conformal import holm
from experiments.statistics.intervals import auc, margin, named, proportion, refuse_dead, tpr_at_fpr
from experiments.storage.tables import as_written
from experiments.testbeds.ip_protection.calibration import (
    ENOUGH,
    conformal_p_values,
    false_discoveries,
    in_units,
    unseen_p_values,
)
from experiments.testbeds.ip_protection.copies import KINDS, described
from modelgif_core.readout import Readout
from modelgif_core.view import View

RATES = {1: 0.01, 5: 0.05, 10: 0.10}


@dataclass(frozen=True)
class IPProtection:
    """Victim against suspects.

    Roles of the zoo: `victim`; each attack's name; strangers, the negatives that are scored: `unrelated_<task>`, and
    of the victim's task `matched_<task>`, `same_images_<task>` and `elsewhere_<task>`; `held_out_<task>`, independent
    models that calibrate, and neither select nor are scored. A zoo may have none of these; then nothing is calibrated.
    """

    zoo: Zoo
    samples: Samples
    budget: int
    readout: Readout
    view: View
    attacks: Mapping[str, str]
    """Attack -> task whose strangers it must be told from."""
    extractions: Sequence[str]
    """Attacks that train a fresh network on the victim's answers; the others continue from its weights."""

    def __post_init__(self) -> None:
        known = {model.role for model in self.zoo.values()}
        for attack in self.extractions:
            if attack not in {*self.attacks, *known}:  # one of the zoo's need not be among those that are asked about
                raise ValueError(f"extractions: {attack!r} is no attack; {nearest(attack, self.attacks, 'these are')}")
        unrelated = {f"unrelated_{task}" for task in self.attacks.values()}
        calibrating = self._held_out_roles if self._held_out_roles & known else frozenset()  # all of them, or none
        for role in ["victim", *sorted({*self.attacks} | unrelated | calibrating)]:
            if role not in known:
                has = nearest(role, sorted(known), "the roles are")
                raise ValueError(f"no model of the zoo has the role {role!r}; {has}")
        for role in sorted(calibrating):
            if len(self._names(role)) < ENOUGH:
                raise ValueError(
                    f"{role} needs {ENOUGH} models that show each other's spread, not {len(self._names(role))}: give "
                    "the zoo more (testbed.zoo.numbers.held_out, or copies of the toys)"
                )

    @property
    def tested_roles(self) -> frozenset[str]:
        """Attacks and the strangers of their tasks."""
        roles = {f"{kind}_{task}" for kind in KINDS for task in self.attacks.values()}
        return frozenset(self.attacks) | (roles & {model.role for model in self.zoo.values()})

    @property
    def reserved_roles(self) -> frozenset[str]:
        """Models that calibrate: whoever selects with them knows what its p-values are taken from."""
        return self._held_out_roles

    @property
    def offers(self) -> frozenset[str]:
        """Classifiers of the same classes, the victim among them; labels, if the samples have them.

        And what the victim's owner knows: which images it was taught, and its watermark.
        """
        victim = self.zoo[self._names("victim")[0]]
        known = {"labels": self.samples.labels, "owned": victim.taught, "watermark": victim.triggers}
        offered = {need for need, given in known.items() if given is not None}
        return frozenset({"classifiers", "equal_classes", "heads", "source"} | offered)

    def pairs(self) -> list[Pair]:
        """The victim with every scored model, and with the held-out ones that calibrate."""
        victim, met = self._names("victim")[0], self.tested_roles | self._held_out_roles
        return [(victim, name) for name, model in self.zoo.items() if model.role in met]

    def score(self, distances: pd.DataFrame) -> Report:
        """AUC, margin and TPR of copies, for every attack and over all of them, with intervals; curves over the budget.

        `auc/<attack>` is of copies against all strangers of its task, `auc_<kind>/` against one kind of them,
        `auc_architecture/` of derived models against strangers of the victim's architecture alone, and
        `auc_not_copied/` of models that are no copies, where chance is right. What a zoo has no models for is left out.

        Calibrated: `auc_by_task/` and `auc_by_architecture/` of distances in units of the spread of held-out models of
        a suspect's task, or of its architecture, too; the first changes no AUC within one task. `found_at_5/` is the
        share of copies that the owner would accuse at 5 % false alarms, knowing no suspect: those whose conformal
        p-value is at most that; `alarms_at_5/` the share of strangers that it would. `found_unseen_at_5/` and
        `alarms_unseen_at_5/` are the same of an owner who knows no independent model of the suspect's architecture, and
        `found_holm_at_5/pooled`, `found_fdr_at_5/pooled` and their alarms of one who judges all suspects at once: so
        that any stranger at all is accused at most at that rate, or that at most that share of the accused are
        strangers. A zoo without held-out models has none of these ten.
        """
        refuse_dead(distances)
        table = distances.droplevel("source")
        suspects = described(self.zoo, self.attacks, frozenset(self.extractions))
        suspects["distance"] = as_written(table.mean(axis=1))[suspects.index]
        held_out = self._held_out(table)
        if len(held_out):
            self._calibrate(suspects, held_out)
        metrics: dict[str, float] = {}
        for attack, task in self.attacks.items():
            self._judge(metrics, attack, suspects[suspects["role"] == attack], _strangers(suspects, task))
        attacked = suspects["role"].isin(set(self.attacks))
        self._judge(metrics, "pooled", suspects[attacked], suspects[~attacked])
        aucs = [metrics[f"auc/{attack}"] for attack in self.attacks if f"auc/{attack}" in metrics]
        if aucs:
            metrics["auc/mean"] = float(np.mean(aucs))
        metrics["dead_references"] = int(distances.isna().sum().sum())
        metrics["dead_share"] = float(distances.isna().mean().mean())
        matrices = {"suspects": suspects}
        curves = self._curves(table, suspects)
        if len(curves):
            matrices["curves"] = curves
            cells = zip(curves["references"], curves["attack"], curves["value"], strict=True)
            metrics |= {f"auc_at_{references}/{attack}": value for references, attack, value in cells}
        return Report(metrics, matrices)

    def _judge(self, metrics: dict[str, float], name: str, attacked: pd.DataFrame, strangers: pd.DataFrame) -> None:
        """Judge one attack, or all: copies against each sort of strangers, and what is no copy against all.

        Where attacks of several tasks are judged together, a sort of strangers is that of the first attack's task, the
        victim's, and so are the copies.
        """
        victims = strangers["architecture"] == self.zoo[self._names("victim")[0]].architecture
        first = next(task for task in self.attacks.values() if task in set(attacked["task"]))
        near, alike = copies(attacked[attacked["task"] == first]), strangers["task"] == first
        sides = {
            "auc": (copies(attacked), strangers),
            **{f"auc_{kind}": (near, strangers[alike & _is(strangers, kind)]) for kind in KINDS},
            "auc_architecture": (near[~near["role"].isin(self.extractions)], strangers[alike & victims]),
            "auc_not_copied": (attacked[attacked["copy"] == 0], strangers),
        }
        for title, (near, far) in sides.items():
            if len(near) and len(far):
                metrics |= named(f"{title}/{name}", auc(near["distance"].to_numpy(), far["distance"].to_numpy()))
        if "p" in attacked:
            self._judge_calibrated(metrics, name, attacked, strangers)
        known = attacked[["accuracy", "fidelity", "divergence", "copy"]].mean().dropna()
        metrics |= {f"{fact}/{name}": float(value) for fact, value in known.items()}
        metrics[f"n_related/{name}"], metrics[f"n_unrelated/{name}"] = len(copies(attacked)), len(strangers)
        metrics[f"n_not_copied/{name}"] = len(attacked) - len(copies(attacked))
        metrics[f"n_unknown/{name}"] = int(attacked["copy"].isna().sum())
        near, far = copies(attacked)["distance"].to_numpy(), strangers["distance"].to_numpy()
        if len(near):
            metrics[f"margin/{name}"] = margin(near, far)
            for percent, rate in RATES.items():
                metrics |= named(f"tpr_at_{percent}/{name}", tpr_at_fpr(near, far, rate))

    def _judge_calibrated(
        self, metrics: dict[str, float], name: str, attacked: pd.DataFrame, strangers: pd.DataFrame
    ) -> None:
        """Judge the same by distances in units of held-out models, and by whom they would accuse."""
        for units in ("by_task", "by_architecture"):
            if len(copies(attacked)) and len(strangers):
                near, far = copies(attacked)[units].to_numpy(), strangers[units].to_numpy()
                metrics |= named(f"auc_{units}/{name}", auc(near, far))
        for title, models in {"found": copies(attacked), "alarms": strangers}.items():
            for owner, p in {"": models["p"], "_unseen": models["p_unseen"].dropna()}.items():
                for percent, rate in RATES.items():
                    if len(p):
                        key = f"{title}{owner}_at_{percent}/{name}"
                        metrics |= named(key, proportion(int((p <= rate).sum()), len(p)))
        if name == "pooled":
            self._judge_many(metrics, attacked, strangers)

    def _judge_many(self, metrics: dict[str, float], attacked: pd.DataFrame, strangers: pd.DataFrame) -> None:
        """Judge all suspects at once, as whoever accuses many of them must."""
        everybody = pd.concat([attacked["p"], strangers["p"]])
        for control, adjusted in {"holm": holm(everybody), "fdr": false_discoveries(everybody)}.items():
            for title, models in {"found": copies(attacked), "alarms": strangers}.items():
                for percent, rate in RATES.items():
                    accused = int((adjusted[models.index] <= rate).sum())
                    if len(models):
                        metrics |= named(f"{title}_{control}_at_{percent}/pooled", proportion(accused, len(models)))

    @property
    def _held_out_roles(self) -> frozenset[str]:
        return frozenset(f"held_out_{task}" for task in self.attacks.values())

    def _held_out(self, table: pd.DataFrame) -> pd.DataFrame:
        """What calibrates: of each held-out model its task, architecture and distance."""
        models = {name: model for name, model in self.zoo.items() if model.role in self._held_out_roles}
        return pd.DataFrame(
            {
                "task": {name: model.role.removeprefix("held_out_") for name, model in models.items()},
                "architecture": {name: model.architecture for name, model in models.items()},
                "distance": as_written(table.mean(axis=1))[list(models)],
            }
        )

    def _calibrate(self, suspects: pd.DataFrame, held_out: pd.DataFrame) -> None:
        """Add each suspect's distance in units of held-out models' spread, and its p-values."""
        suspects["by_task"] = in_units(suspects, held_out, within=("task",))
        both = ("task", "architecture")
        suspects["by_architecture"] = in_units(suspects, held_out, within=both)
        suspects["p"] = conformal_p_values(suspects, held_out, within=both)
        suspects["p_unseen"] = unseen_p_values(suspects, held_out)

    def _curves(self, table: pd.DataFrame, suspects: pd.DataFrame) -> pd.DataFrame:
        """AUC of each attack on the first 1, 2, 4, ... reference points: one measurement serves every budget."""
        sizes = [2**power for power in range(12) if 2**power < table.shape[1]] + [table.shape[1]]
        rows = []
        for size in sizes if len(sizes) > 1 else []:
            mean = as_written(table.iloc[:, :size].mean(axis=1))
            for attack, task in self.attacks.items():
                near = mean[copies(suspects[suspects["role"] == attack]).index].dropna().to_numpy()
                far = mean[_strangers(suspects, task).index].dropna().to_numpy()
                if len(near) and len(far):
                    rows.append({"attack": attack, "references": size, **auc(near, far)._asdict()})
        return pd.DataFrame(rows)

    def _names(self, role: str) -> list[str]:
        return [name for name, model in self.zoo.items() if model.role == role]


def copies(attacked: pd.DataFrame) -> pd.DataFrame:
    """The attacked models without those that are known to be no copies."""
    return attacked[attacked["copy"] != 0]


def _strangers(suspects: pd.DataFrame, task: str) -> pd.DataFrame:
    return suspects[suspects["role"].isin([f"{kind}_{task}" for kind in KINDS])]


def _is(strangers: pd.DataFrame, kind: str) -> pd.Series:
    return strangers["role"].str.startswith(f"{kind}_")
