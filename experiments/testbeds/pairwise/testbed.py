"""How are models related? Every two of them, each with itself, and nothing that is known beforehand."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement

import numpy as np
import pandas as pd
import torch
from torch import nn

from experiments.commands.refusal import nearest
from experiments.interfaces import Pair, Report, Samples, Zoo
from experiments.networks.forward import predictions
from experiments.networks.misfit import refuse_misfit
from experiments.statistics import intervals
from experiments.statistics.conformal import holm, p_values
from experiments.storage.identity import fingerprint
from experiments.testbeds.pairwise.models import MODEL, NULL, TWIN
from modelgif_core.readout import Readout
from modelgif_core.view import View

FEWEST = 3
"""Declared strangers that show how near independent models are."""


@dataclass(frozen=True)
class Pairwise:
    """All pairs of a zoo. Neither the order of models nor that of images changes a number."""

    zoo: Zoo
    samples: Samples
    """Images in [0, 1]; kept in the order of their hashes."""
    budget: int
    readout: Readout
    view: View
    strangers: Sequence[str] | None = None
    """Names of at least three models that are known to owe nothing to the others; they are compared, not judged."""
    level: float = 0.05
    """How often it may happen that any of the judged pairs is called derived, though none is."""

    def __post_init__(self) -> None:
        roles = sorted({model.role for model in self.zoo.values()} - {MODEL, NULL})
        if roles:
            raise ValueError(f"pairwise compares models that are given; this zoo has the roles {', '.join(roles)}")
        if len(self._models) < 2:
            raise ValueError(f"a comparison needs at least two models, not {len(self._models)}")
        self._refuse_strangers()
        if not 0 < self.level < 1:
            raise ValueError(f"testbed.level must lie between 0 and 1, not {self.level}")
        inputs = self.samples.inputs
        if inputs.ndim != 4 or not len(inputs) or not 0 <= inputs.min() <= inputs.max() <= 1:
            raise ValueError(
                "samples must be images (samples, colours, height, width) with values in [0, 1], before any "
                f"normalisation, not {tuple(inputs.shape)}"
                + (f" from {inputs.min()} to {inputs.max()}" * bool(len(inputs)))
            )
        order = torch.tensor(np.argsort([fingerprint(image) for image in inputs], kind="stable"))
        labels = self.samples.labels
        ordered = Samples(inputs[order], None if labels is None else labels[order])
        object.__setattr__(self, "samples", ordered)  # a dataclass that is frozen for everybody else

    def _refuse_strangers(self) -> None:
        strangers = self.strangers or ()
        for name in strangers:
            if name not in self._models:
                raise ValueError(
                    f"testbed.strangers: no model {name!r}; {nearest(name, self._models, 'the models are')}"
                )
        if self.strangers is not None and len(set(strangers)) < FEWEST:
            raise ValueError(
                f"testbed.strangers needs at least {FEWEST} different models to show how near strangers are, not "
                f"{len(set(strangers))}; null judges nobody"
            )
        if len(self._models) - len(set(strangers)) < 2:
            raise ValueError("testbed.strangers leaves no two models to judge; declare fewer")

    @property
    def _models(self) -> list[str]:
        return sorted(name for name, model in self.zoo.items() if model.role == MODEL)

    @property
    def tested_roles(self) -> frozenset[str]:
        """Every model is scored."""
        return frozenset({MODEL, NULL})

    @cached_property
    def offers(self) -> frozenset[str]:
        """What the models' outputs for one image, and the samples, allow; each model is opened once to see."""
        shapes, heads = [], True
        for name, model in self.zoo.items():
            network = model.load()
            refuse_misfit(network, name, self.samples.inputs[:1])
            shapes.append(predictions(network, self.samples.inputs[:1]).shape)
            heads &= any(isinstance(module, nn.Linear) for module in network.modules())
        flat = all(len(shape) == 2 for shape in shapes)
        found = {
            "classifiers": flat,
            "equal_classes": flat and len(set(shapes)) == 1,
            "heads": heads,
            "labels": self.samples.labels is not None,
        }
        return frozenset(name for name, there in found.items() if there)

    def pairs(self) -> list[Pair]:
        """Each two models once, and each with itself, in alphabetical order."""
        return list(combinations_with_replacement(sorted(self.zoo), 2))

    def score(self, distances: pd.DataFrame) -> Report:
        """The nearest pair and each model's nearest, with intervals over reference points; verdicts with strangers.

        Matrices: `distance`, square; `pairs`, a row for each two models, nearest first, with the interval, the
        distances of both to their own twins with new weights, and, of pairs that are judged, the p-value, Holm's, and
        the verdict: `derived`, or `not told apart` from strangers, which acquits nobody. `samples` names the images.
        """
        intervals.refuse_dead(distances)
        found = {pair: intervals.mean(row) for pair, row in zip(distances.index, distances.to_numpy(), strict=True)}
        names = sorted(self.zoo)
        square = pd.DataFrame(np.nan, names, names)
        for (first, second), estimate in found.items():
            square.loc[first, second] = square.loc[second, first] = estimate.value
        two = {pair: estimate for pair, estimate in found.items() if pair[0] != pair[1] and {*pair} <= {*self._models}}
        table = pd.DataFrame(list(two.values()), pd.MultiIndex.from_tuples(two, names=["first", "second"]))
        table.columns = ["distance", "low", "high"]
        table["low"] = table["low"].clip(lower=0)
        metrics = {"farthest_from_itself": max(square.loc[name, name] for name in names)}
        for end in ("first", "second"):
            twins = [name + TWIN for name in table.index.get_level_values(end)]
            if set(twins) <= set(names):
                table[f"{end}_null"] = [square.loc[twin.removesuffix(TWIN), twin] for twin in twins]
        judged = self._judged(square)
        if len(judged):
            table = table.join(judged)
            metrics |= {"judged": len(judged), "derived": int((judged["verdict"] == "derived").sum())}
            metrics["least_p"] = 1 / (1 + len(set(self.strangers or ())))
        table = table.sort_values("distance", kind="stable")
        closest = intervals.Estimate(*table.iloc[0][["distance", "low", "high"]])
        metrics |= intervals.named("nearest", closest)
        for name in self._models:
            metrics[f"nearest/{name}"] = float(square.loc[name, self._models].drop(name).min())
        metrics["dead_references"] = int(distances.isna().sum().sum())
        metrics["dead_share"] = float(distances.isna().mean().mean())
        hashes = pd.DataFrame({"sha256": [fingerprint(image) for image in self.samples.inputs]})
        return Report(metrics, {"distance": square, "pairs": table, "samples": hashes.rename_axis("sample")})

    def _judged(self, square: pd.DataFrame) -> pd.DataFrame:
        """p-values and verdicts of pairs without a stranger.

        Either model of a pair is a suspect to the other, compared with what the strangers are to that other; the larger
        of both p-values counts, which holds at its rate whichever of the two is like the strangers.
        """
        strangers = sorted(set(self.strangers or ()))
        if not strangers:
            return pd.DataFrame()
        models = [name for name in self._models if name not in strangers]
        pairs = [(a, b) for a, b in combinations_with_replacement(models, 2) if a != b]
        index = pd.MultiIndex.from_tuples(pairs, names=["first", "second"])
        either = [
            max(p_values(pd.Series([square.loc[a, b]]), square.loc[own, strangers])[0] for own in (a, b))
            for a, b in pairs
        ]
        table = pd.DataFrame({"p": pd.Series(either, index, dtype=float)})
        table["p_holm"] = holm(table["p"])
        table["verdict"] = np.where(table["p_holm"] <= self.level, "derived", "not told apart")
        return table
