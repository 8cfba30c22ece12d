"""How are models related? Every two of them, each with itself and its nulls, and nothing that is known beforehand."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import combinations_with_replacement, permutations
from math import isfinite

import numpy as np
import pandas as pd
import torch

from experiments.commands.refusal import nearest
from experiments.interfaces import Method, Pair, Report, Samples, Zoo
from experiments.statistics import intervals
from experiments.storage.identity import fingerprint
from experiments.storage.tables import written
from experiments.testbeds.pairwise import verdicts
from experiments.testbeds.pairwise.facts import Facts, facts, followed, why_not
from experiments.testbeds.pairwise.nulls import MODEL, NULL, OTHERS, TWIN, original
from modelgif_core.readout import Readout
from modelgif_core.view import View


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
    """Names, or patterns of names (`unrelated_*`), of at least three models that are known to owe nothing to the
    others; they are compared, not judged. Two models of one make are held against those of that make, three or more."""
    level: float = 0.05
    """How often a method may call any of the judged pairs derived, though none is."""

    def __post_init__(self) -> None:
        roles = sorted({model.role for model in self.zoo.values()} - {MODEL, NULL})
        if roles:
            raise ValueError(f"pairwise compares models that are given; this zoo has the roles {', '.join(roles)}")
        if len(self._models) < 2:
            raise ValueError(f"a comparison needs at least two models, not {len(self._models)}")
        self._refuse_strangers()
        if not 0 < self.level < 1:
            raise ValueError(f"level must lie between 0 and 1, not {self.level}")
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
        for pattern in self.strangers or ():
            if not any(_named(name, pattern) for name in self._models):
                has = nearest(pattern, self._models, "the models are")
                raise ValueError(f"strangers: no model {pattern!r}; {has}")
        if self.strangers is not None and len(self._strangers) < verdicts.FEWEST:
            raise ValueError(
                f"strangers must be at least {verdicts.FEWEST} different models to show how near strangers are, "
                f"not {len(self._strangers)}; leave them out to judge nobody"
            )
        if len(self._judged) < 2:
            raise ValueError("strangers leave no two models to judge; declare fewer")

    @property
    def _models(self) -> list[str]:
        return sorted(name for name, model in self.zoo.items() if model.role == MODEL)

    @property
    def _strangers(self) -> list[str]:
        wanted = self.strangers or ()
        return [name for name in self._models if any(_named(name, one) for one in wanted)]

    @property
    def _judged(self) -> list[str]:
        return [name for name in self._models if name not in self._strangers]

    @property
    def _makes(self) -> dict[str, str]:
        return {name: facts.make for name, facts in self.facts.items()}

    @property
    def tested_roles(self) -> frozenset[str]:
        """Every model is scored."""
        return frozenset({MODEL, NULL})

    @property
    def offers(self) -> frozenset[str]:
        """What some models have; which two of them a method can compare, `why_not` says."""
        labelled = {"labels"} if self.samples.labels is not None else set()
        return frozenset({"classifiers", "equal_classes", "heads"} | labelled)

    @cached_property
    def facts(self) -> dict[str, Facts]:
        """What is known of every model that is not a null, by name; each is opened once, and shown one image."""
        return {name: facts(self.zoo[name].load(), name, self.samples.inputs[:1]) for name in self._models}

    @property
    def hashes(self) -> list[str]:
        """Names the very images of the pool that a budget is drawn from, in their order."""
        return [fingerprint(image) for image in self.samples.inputs]

    def why_not(self, pair: Pair, method: Method) -> str:
        """Why this method cannot compare the pair; empty if it can."""
        if method.access == "weights" and any(name.endswith(OTHERS) for name in pair):
            return "weights are compared without images"
        first, second = (self.facts[original(name)] for name in pair)
        readout = followed(method.represent)
        return why_not(first, second, needs=method.needs, access=method.access, readout=readout)

    def pairs(self) -> list[Pair]:
        """Each two models once, each with itself and its twin with new weights, all with others on other images.

        Twins meet themselves, too: whoever is a source is asked both ways by a directed method.
        """
        pairs = list(combinations_with_replacement(self._models, 2))
        pairs += [pair for name in self._models for pair in ((name, name + TWIN), (name + TWIN, name + TWIN))]
        pairs += [(one, other + OTHERS) for one, other in permutations(self._models, 2)]
        return [pair for pair in pairs if pair[1] in self.zoo]

    def score(self, distances: pd.DataFrame) -> Report:
        """The nearest pair and each model's nearest, with intervals over reference points; verdicts with strangers.

        Matrices: `distance`, square, NaN where two models cannot be compared; `pairs`, a row for each two models that
        can, nearest first, with the interval, the distances of both to their own twins, their distance when one of them
        is asked about other images, and, of pairs that are judged, p-values and verdict (`verdicts.judged`); `models`,
        what is known of each; `samples`, the images of the pool that were drawn from.
        """
        dead, distances = distances.isna(), _both_ways(distances)
        alive = distances.dropna(how="all")  # what ignores its input cannot be compared, and spoils no other pair
        if not len(alive):
            intervals.refuse_dead(distances)
        distances = alive
        values = distances.to_numpy()
        shares = bool(np.isin(values[~np.isnan(values)], (0, 1)).all())  # as where labels are compared
        found = {
            pair: intervals.Estimate(*map(written, intervals.mean(row, shares=shares)))
            for pair, row in zip(distances.index, values, strict=True)
        }
        names = self._models
        square = pd.DataFrame(np.nan, names, names)
        for first, second in combinations_with_replacement(names, 2):
            square.loc[first, second] = square.loc[second, first] = _value(found, first, second)
        two = [(a, b) for a, b in combinations_with_replacement(names, 2) if a != b and (a, b) in found]
        index = pd.MultiIndex.from_tuples(two, names=["first", "second"])
        table = pd.DataFrame([found[pair] for pair in two], index, columns=["distance", "low", "high"], dtype=float)
        table["low"] = table["low"].clip(lower=0)
        nulls = {
            "first_twin": [_value(found, a, a + TWIN) for a, _ in two],
            "second_twin": [_value(found, b, b + TWIN) for _, b in two],
            "other_images": [
                np.nanmean(known) if any(v == v for v in known) else np.nan
                for known in ([_value(found, a, b + OTHERS), _value(found, b, a + OTHERS)] for a, b in two)
            ],
        }
        table = table.assign(**{name: values for name, values in nulls.items() if not all(np.isnan(values))})
        metrics = {
            "models": len(names),
            "compared": len(two),
            "farthest_from_itself": float(np.fmax.reduce(np.diag(square))),
        }
        if self.strangers:
            table = table.join(verdicts.judged(square, self._judged, self._strangers, self.level, self._makes))
            metrics |= self._verdicts(square, table)
        table = table.sort_values("distance", kind="stable")
        if len(table):
            metrics |= intervals.named("nearest", intervals.Estimate(*table.iloc[0][["distance", "low", "high"]]))
        for name in names:
            metrics[f"nearest/{name}"] = float(square.loc[name].drop(name).min())
        if twins := [known for name in names if isfinite(known := _value(found, name, name + TWIN))]:
            metrics["null/new_weights"] = float(np.mean(twins))
        if "other_images" in table:
            metrics["null/other_images"] = float(table["other_images"].mean())
        metrics["dead_references"] = int(dead.sum().sum())
        metrics["dead_share"] = float(dead.mean().mean())
        hashes = pd.DataFrame({"sha256": self.hashes})
        known = pd.DataFrame(self.facts, index=Facts._fields).T.rename_axis("model")
        known.insert(0, "stranger", [name in self._strangers for name in known.index])
        matrices = {"distance": square, "pairs": table, "models": known, "samples": hashes.rename_axis("sample")}
        return Report(metrics, matrices)

    def _verdicts(self, square: pd.DataFrame, table: pd.DataFrame) -> dict[str, float]:
        found = table["verdict"].dropna()
        held = self._strangers, self._makes
        selves = [verdicts.p_of(square, name, name, *held)[0] for name in self._judged]
        return {
            "judged": len(found),
            "derived": int((found == "derived").sum()),
            "strangers": len(self._strangers),
            "p_of_itself": float(np.fmax.reduce(selves)),  # of those that are known
            "accused_strangers": verdicts.accused_strangers(
                square, self._judged, self._strangers, self.level, self._makes
            ),
        }


def _named(name: str, pattern: str) -> bool:
    """Whether a name is meant: it may itself hold what is special in patterns, such as brackets."""
    return name == pattern or fnmatchcase(name, pattern)


def _both_ways(distances: pd.DataFrame) -> pd.DataFrame:
    """The same rows, those of a pair that was asked both ways the mean of both, or NaN where one of them is."""
    back = distances.swaplevel().reindex(distances.index)
    twice = distances.index.isin(distances.index.swaplevel())
    return pd.concat([distances[~twice], (distances + back)[twice] / 2]).reindex(distances.index)


def _value(found: dict[Pair, intervals.Estimate], first: str, second: str) -> float:
    return found[first, second].value if (first, second) in found else np.nan
