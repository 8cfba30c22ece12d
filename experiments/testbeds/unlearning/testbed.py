"""Has a model forgotten? Suspects are compared with what knew everything and with models retrained without the images.

Two readings of one distance: far from the reference (the paper's) and near to the calibrating retrained models; the
third, relative, is their difference. Models that are truly without the images are told from models that are not.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
import pandas as pd

from experiments.commands.refusal import nearest
from experiments.interfaces import POOLS, Pair, Pools, Report, Samples, Zoo
from experiments.statistics.intervals import auc, named, prediction_bound, refuse_dead, spearman, tpr_at_fpr
from experiments.storage.tables import as_written, written
from experiments.testbeds.unlearning.facts import twins
from modelgif_core.readout import Readout
from modelgif_core.view import View

SEEN = frozenset({"reference", "retrain_calibrate", "unrelated_calibrate", "rollback_reference"})
SHADOW = "shadow_"
"""Roles that a verifier may look at, by name or by how they begin; none of them is scored."""
HIDDEN = frozenset({"retrain_tune", "retrain_cheat"})
"""Roles that neither test nor calibrate."""
OPTIONAL = frozenset(
    {
        *("approximate", "retrain_same_start", "rollback", "logit_shift", "swap_saw_without", "swap_new_with"),
        *("head_zeroed", "head_suppressed", "head_retrained", "head_distilled"),
        *(f"fake_{way}{readout}" for way in ("repel", "pull") for readout in ("", "_centred", "_odds")),
    }
)
"""Roles that a list may name although the zoo lacks them: a random share has no head controls, a toy no fakes."""
CURVES = ("retrain", "unrelated", "approximate")
"""The paper's three curves: directly unlearned, unrelated, approximately unlearned."""
UNNOTICED = 0.1
"""Below this accuracy on unseen images of the forgotten class, behaviour alone says it is forgotten."""


@dataclass(frozen=True)
class Unlearning:
    """Suspects against a reference and against retrained models.

    The zoo's roles: `reference`, `rollback_reference` and `retrain_calibrate` to compare with; those in `forgotten` and
    `kept`; every other role is an unlearning method under judgement. Checkpoints (models with an epoch) make curves.
    """

    zoo: Zoo
    pools: Callable[[], Pools]
    budget: int
    readout: Readout
    view: View
    probes: str
    """Pool that methods draw samples from: forget (training images, as published), forget_unseen, retain, ..."""
    forgotten: Sequence[str]
    """Roles of models that truly never saw the images."""
    kept: Sequence[str]
    """Roles of models that know them, whatever they show."""
    aside: Sequence[str] = ()
    """Roles that explain and are neither."""
    curves: bool = True
    """Whether checkpoints are measured, too."""
    reserved_roles = HIDDEN
    """Retrained models that settings are chosen by, and that fakes imitate."""

    def __post_init__(self) -> None:
        if self.probes not in POOLS:
            raise ValueError(f"probes must be one of {', '.join(POOLS)}, not {self.probes!r}")
        known = {model.role for model in self.zoo.values()}
        for role in sorted({"reference", "retrain_calibrate", "retrain", "unrelated"} - known):
            raise ValueError(
                f"no model of the zoo has the role {role!r}; {nearest(role, sorted(known), 'the roles are')}"
            )
        self._refuse_misnamed(known)
        if len(self._names("retrain")) < 2 or len(self._names("retrain_calibrate")) < 3:
            raise ValueError("a spread takes 2 models of role 'retrain' and 3 of 'retrain_calibrate'; train more")
        for role in CURVES:
            epochs = self._epochs(role)
            if len({tuple(sorted(found)) for found in epochs.values()}) > 1:
                raise ValueError(f"the checkpoints of {role} have gaps: {epochs}")
            if any(epochs.values()) and not all(m.epochs for m in self.zoo.values() if m.role == role):
                raise ValueError(f"{role} has checkpoints and does not tell of how many epochs: give its models epochs")

    def _refuse_misnamed(self, known: set[str]) -> None:
        """Refuse a role that no zoo has, that is never scored, or that is said to be two things."""
        said: dict[str, str] = {}
        scored = self.tested_roles | OPTIONAL
        for name in ("forgotten", "kept", "aside"):
            for role in getattr(self, name):
                if role not in scored:
                    has = nearest(role, sorted(scored), "the roles are")
                    raise ValueError(f"testbed.{name}: no model that is scored has the role {role!r}; {has}")
                if said.setdefault(role, name) != name:
                    raise ValueError(f"the role {role!r} cannot be both in testbed.{said[role]} and testbed.{name}")
        if not known & set(self.forgotten):
            raise ValueError("testbed.forgotten names no model of the zoo; 'retrain' is in every one")

    @property
    def samples(self) -> Samples:
        """The pool of the configured probes."""
        return getattr(self.pools(), self.probes)

    @property
    def tested_roles(self) -> frozenset[str]:
        """Every role but those that a verifier may look at."""
        roles = {model.role for model in self.zoo.values() if not model.role.startswith(SHADOW)}
        return frozenset(roles) - SEEN - HIDDEN

    @property
    def offers(self) -> frozenset[str]:
        """Classifiers of the same classes, the reference among them, and labelled images to forget and to retain."""
        return frozenset({"classifiers", "equal_classes", "heads", "labels", "pools", "source"})

    def pairs(self) -> list[Pair]:
        """Reference and calibrating models with each suspect, the reference with each checkpoint, calibrating ones."""
        calibrating = self._names("retrain_calibrate")
        found = []
        for suspect in self._suspects():
            found.append((self._reference(suspect), suspect))
            found += [(source, suspect) for source in calibrating]
        if self.curves:
            found += [("reference", name) for name, model in self.zoo.items() if model.epoch and model.role in CURVES]
        return [*found, *self._knowing_pairs(), *combinations(calibrating, 2)]

    def score(self, distances: pd.DataFrame) -> Report:
        """How well the readings tell forgotten from kept, who is believed, the paper's curves and their order."""
        refuse_dead(distances.loc[list(combinations(self._names("retrain_calibrate"), 2))])  # a suspect may be dead
        mean = as_written(distances.mean(axis=1))
        suspects = self._verdicts(mean)
        metrics: dict[str, float] = {}
        for reading, against, groups in self._contests(suspects):
            metrics |= named(f"auc/{reading}/{against}", auc(*groups))
            metrics |= named(f"tpr_at_5/{reading}/{against}", tpr_at_fpr(*groups, 0.05))
            metrics[f"n_forgotten/{against}"], metrics[f"n_kept/{against}"] = (len(group) for group in groups)
        metrics["spread"] = bound = self._spread(mean)
        knowing = self._nearest_knowing(mean)
        for role, models in suspects.groupby("role"):
            metrics[f"distance/{role}"] = float(models["reference"].mean())
            metrics[f"from_retrains/{role}"] = float(models["retrains"].mean())
            believed = (models["retrains"] <= bound) & (models["retrains"] < knowing)
            metrics[f"believed/{role}"] = float(believed.mean())
            metrics[f"accuracy/{role}"] = float(models["accuracy"].mean())
            metrics[f"leakage/{role}"] = float(models["leakage"].mean())
        metrics |= named("leakage_rank", spearman(suspects["retrains"], suspects["leakage"]))
        metrics |= self._order(suspects)
        curves = self._curves(mean)
        for (role, epoch), values in curves.groupby(["role", "epoch"])["distance"]:
            metrics[f"curve/{role}/{epoch}"] = float(values.mean())
        metrics["dead_references"] = int(distances.isna().sum().sum())
        metrics["dead_share"] = float(distances.isna().mean().mean())
        metrics["dead_models"] = int(suspects["reference"].isna().sum())
        metrics["twins"] = len(self._suspects()) - len(suspects)
        return Report(metrics, {"suspects": suspects, "curves": curves})

    def _verdicts(self, mean: pd.Series) -> pd.DataFrame:
        """For every suspect (the first of copies that are one model): its role, distances, and what it knows."""
        calibrating = self._names("retrain_calibrate")
        usual = np.mean([self.zoo[name].facts()["log_odds"] for name in calibrating], axis=0)
        known = {name: self.zoo[name].facts() for name in self._suspects()}
        again = {other for one, other in twins(known) if self.zoo[one].role == self.zoo[other].role}
        rows = {}
        for name, facts in known.items():
            rows[name] = {
                "role": self.zoo[name].role,
                "reference": mean[self._reference(name), name],
                "retrains": np.mean([mean[source, name] for source in calibrating]),
                "accuracy": facts["accuracy_forget_unseen"],
                "retained": facts["accuracy_retain_unseen"],
                "leakage": written(np.abs(np.array(facts["log_odds"]) - usual).mean()),
            }
        found = pd.DataFrame.from_dict(rows, orient="index").drop(list(again))
        return found.assign(retrains=as_written(found["retrains"]))

    def _contests(self, suspects: pd.DataFrame) -> list[tuple[str, str, tuple[np.ndarray, np.ndarray]]]:
        """Every reading against every kind of model that has not truly forgotten; small = forgotten.

        A distance that does not exist, since the field vanishes, certifies nothing: it ranks last.
        """
        forgotten = suspects["role"].isin(self.forgotten)
        kept = suspects["role"].isin(self.kept)
        judged = ~forgotten & ~kept & ~suspects["role"].isin(self.aside)
        against = {"kept": kept, "judged": judged, "all": kept | judged}
        if self.pools().label is not None:
            against["unnoticed"] = against["all"] & (suspects["accuracy"] < UNNOTICED)
        readings = {
            "reference": -suspects["reference"],
            "retrains": suspects["retrains"],
            "relative": as_written(suspects["retrains"] - suspects["reference"]),
        }
        found = []
        for reading, values in readings.items():
            ranked = values.fillna(values.max() + 1)
            for name, others in against.items():
                if others.any() and values.notna().any():
                    found.append((reading, name, (ranked[forgotten].to_numpy(), ranked[others].to_numpy())))
        return found

    def _spread(self, mean: pd.Series) -> float:
        """95 % prediction bound for a new retrained model; holds for nine in ten, as two share each distance."""
        calibrating = self._names("retrain_calibrate")
        between = {frozenset(pair): mean[pair] for pair in combinations(calibrating, 2)}
        own = [np.mean([d for pair, d in between.items() if name in pair]) for name in calibrating]
        return written(prediction_bound(own))

    def _nearest_knowing(self, mean: pd.Series) -> float:
        """How near a calibrating model that knows comes to the retrained ones; infinite if the zoo has none.

        What comes no nearer to retrained models than one that is known to know is not believed to have forgotten.
        """
        pairs = pd.Series({pair: mean[pair] for pair in self._knowing_pairs()}, dtype=float)
        return written(pairs.groupby(level=1).mean().min()) if len(pairs) else np.inf

    def _knowing_pairs(self) -> list[Pair]:
        """Retrained models that calibrate with unrelated ones that do."""
        return list(product(self._names("retrain_calibrate"), self._names("unrelated_calibrate")))

    def _order(self, suspects: pd.DataFrame) -> dict[str, float]:
        """The paper's order: retrained farther from the reference than unrelated, unrelated than approximate."""
        metrics: dict[str, float] = {}
        groups = {role: suspects.loc[suspects["role"] == role, "reference"].dropna() for role in CURVES}
        for far, near in (("retrain", "unrelated"), ("unrelated", "approximate")):
            if len(groups[far]) and len(groups[near]):
                metrics |= named(f"order/{far}_beyond_{near}", auc(groups[near].to_numpy(), groups[far].to_numpy()))
        return metrics

    def _curves(self, mean: pd.Series) -> pd.DataFrame:
        """Distance from the reference by role, epoch and model; what does not tell its epochs is after one."""
        rows = []
        for role, (name, model) in product(CURVES, self.zoo.items()):
            if model.role == role and (self.curves or not model.epoch):
                epoch = model.epoch or model.epochs or 1
                rows.append({"role": role, "epoch": epoch, "model": name, "distance": mean["reference", name]})
        return pd.DataFrame(rows, columns=["role", "epoch", "model", "distance"])

    def _epochs(self, role: str) -> Mapping[str, list[int]]:
        found: dict[str, list[int]] = {name: [] for name in self._names(role)}
        for name, model in self.zoo.items():
            if model.role == role and model.epoch:
                found.setdefault(name.partition("@")[0], []).append(model.epoch)
        return found

    def _suspects(self) -> list[str]:
        return [name for name, model in self.zoo.items() if model.role in self.tested_roles and model.epoch is None]

    def _reference(self, suspect: str) -> str:
        return "rollback_reference" if self.zoo[suspect].role == "rollback" else "reference"

    def _names(self, role: str) -> list[str]:
        return [name for name, model in self.zoo.items() if model.role == role and model.epoch is None]
