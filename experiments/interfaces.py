"""The types that the suite is made of. A method is three plain functions, a testbed a question about distances."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

import pandas as pd
import torch
from torch import Tensor, nn

from modelgif_core.readout import Readout
from modelgif_core.view import View

Pair = tuple[str, str]
"""Names of two models of a zoo: source (victim, reference, ...) and target."""


class Samples(NamedTuple):
    """Inputs in [0, 1], (samples, channels, height, width), and their labels (samples,)."""

    inputs: Tensor
    labels: Tensor | None = None

    def to(self, device: torch.device | str) -> "Samples":
        """The same samples on that device."""
        return Samples(self.inputs.to(device), None if self.labels is None else self.labels.to(device))


POOLS = ("forget", "forget_unseen", "retain", "retain_unseen")


@dataclass(frozen=True)
class Pools:
    """Labelled images with a role each; nothing is in two of them."""

    forget: Samples
    """Training images that have to be forgotten."""
    forget_unseen: Samples
    """Images like them that no model trains on: of the same class, or simply unseen if a random share is forgotten."""
    retain: Samples
    """All other training images."""
    retain_unseen: Samples
    """Images like those that no model trains on."""
    classes: int
    """Number of classes, the forgotten one included."""
    label: int | None
    """The forgotten class; None if a random share is forgotten."""

    def everything(self) -> Samples:
        """All training images: to be retained, then to be forgotten."""
        both = (self.retain, self.forget)
        labels = [labels_of(part, name) for part, name in zip(both, ("retain", "forget"), strict=True)]
        return Samples(torch.cat([part.inputs for part in both]), torch.cat(labels))

    def to(self, device: torch.device | str) -> "Pools":
        """The same pools on that device."""
        return replace(self, **{name: getattr(self, name).to(device) for name in POOLS})


def labels_of(samples: Samples, name: str) -> Tensor:
    """The labels of a set.

    Raises:
        ValueError: if the set is empty or has not one label for each input.
    """
    if not len(samples.inputs):
        raise ValueError(f"the {name} set is empty; unlearning needs samples to retain and samples to forget")
    if samples.labels is None or len(samples.labels) != len(samples.inputs):
        found = "none" if samples.labels is None else len(samples.labels)
        raise ValueError(f"the {name} set needs a label for each of its {len(samples.inputs)} inputs, not {found}")
    return samples.labels


@dataclass(frozen=True)
class ZooModel:
    """A model under test, by name; nothing is trained or loaded until asked."""

    name: str
    role: str
    """What the model is to the testbed: victim, extract_l, unrelated_test, ... Roles that select never test."""
    architecture: str
    load: Callable[[], nn.Module]
    """The trained model on the CPU; FileNotFoundError names the command that makes a missing one."""
    prepare: Callable[[], None] = lambda: None
    """Trains or fetches what `load` needs, once; safe to call from several processes."""
    ready: Callable[[], bool] = lambda: True
    """Whether `prepare` has nothing left to do."""
    facts: Callable[[], dict[str, Any]] = dict
    """What is known about the trained model: accuracy, seconds of training."""
    epoch: int | None = None
    """How long it had been trained, if it is a checkpoint along the way; None for a model at the end."""
    job: str | None = None
    """Names the training that `prepare` does, where several models come of one; None if it is the model's own."""


Zoo = Mapping[str, ZooModel]


@dataclass(frozen=True)
class Report:
    """What a testbed says about a method."""

    metrics: dict[str, float]
    """One flat name space for JSON, W&B and tables: 'auc/extract_l', 'auc/extract_l/low', ...; NaN goes unrecorded."""
    matrices: dict[str, pd.DataFrame] = field(default_factory=dict)
    """What verdict and pictures rest on and is not in the distances, such as a measured truth; kept beside them as
    CSV."""


class Testbed(Protocol):
    """A question about distances: which models, on which samples, compared how, and what the answer is worth."""

    @property
    def zoo(self) -> Zoo:
        """The models, by name."""
        ...

    @property
    def samples(self) -> Samples:
        """The pool that every method draws its queries from; no model was trained on it unless the testbed says so."""
        ...

    @property
    def budget(self) -> int:
        """How many samples a method may show to a model."""
        ...

    @property
    def readout(self) -> Readout:
        """Which of these models' outputs a field follows."""
        ...

    @property
    def view(self) -> View:
        """Which of these models' input dimensions a field keeps."""
        ...

    @property
    def tested_roles(self) -> frozenset[str]:
        """Roles whose models are scored; a method must not look at them when it chooses its queries."""
        ...

    def pairs(self) -> list[Pair]:
        """The pairs to measure, source first."""
        ...

    def score(self, distances: pd.DataFrame) -> Report:
        """Judge distances: index (source, target), one column per reference point, NaN where it is dead."""
        ...


class Stop(Protocol):
    """Ends a measurement early, from what it has seen."""

    @property
    def every(self) -> int:
        """How many reference points lie between two looks."""
        ...

    def __call__(self, distances: pd.DataFrame) -> bool:
        """Whether distances so far are enough: index (source, target), one column per reference point."""
        ...


@dataclass(frozen=True)
class Method:
    """Queries, representation and distance; ModelGiF is one, a baseline is any other."""

    queries: Callable[[Testbed], Any]
    """What to show to the models: Paths, Samples or whatever `represent` takes."""
    represent: Callable[[nn.Module, Any], Tensor]
    """A model in eval mode and the queries -> what is compared, on the CPU."""
    distance: Callable[[Tensor, Tensor], Tensor]
    """Two representations -> distances, small = related: one per reference point, or a single number."""
    access: str
    """What it needs of a suspect: label < probability < logit < input-gradient < feature < weights."""
    label: str = ""
    """Name for tables and figures."""
    stop: Stop | None = None
    """When to show no more reference points; None shows the whole budget."""
