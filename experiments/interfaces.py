"""The types that the suite is made of. A method is three plain functions, a testbed a question about distances."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, Protocol

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
    """What the model is to the testbed: victim, extract_l, unrelated_original, ... Roles that select never test."""
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
    epochs: int | None = None
    """How long its whole training is, where checkpoints are kept along it."""
    fingerprint: Callable[[], str] = str
    """Names everything that the trained model comes of, its data included; empty where the settings say it all."""
    job: str | None = None
    """Names the training that `prepare` does, where several models come of one; None if it is the model's own."""
    taught: Callable[[], Samples] | None = None
    """The images and labels that it learnt from, where its owner tells them."""
    learnt: Callable[[], Iterable[Tensor]] | None = None
    """Images that it and others of its zoo learnt from, where the zoo tells them: nobody may be asked about these."""
    triggers: Callable[[Samples], Samples] | None = None
    """Images -> the triggers made of them, labelled as a model with its owner's watermark answers; None without one."""
    shown: Callable[[Any], Any] | None = None
    """Queries -> what this model is shown in their place: how a null is made that is asked about other images."""


Zoo = Mapping[str, ZooModel]


@dataclass(frozen=True)
class Report:
    """What a testbed says about a method."""

    metrics: dict[str, float]
    """One flat name space for JSON, W&B and tables: 'auc/extract_l', 'auc/extract_l/low', ...; NaN goes unrecorded."""
    matrices: dict[str, pd.DataFrame] = field(default_factory=dict)
    """What verdict and pictures rest on beyond the distances, such as a measured truth; kept beside them as CSV."""


class Testbed(Protocol):
    """A question about distances: which models, on which samples, compared how, and what the answer is worth.

    One whose models need not fit each other has a `why_not(pair, method)`, which says why two cannot be compared: ""
    where they can. Such pairs are not measured. One with models for its own use alone, such as calibration, has their
    `reserved_roles`, which no method may choose its queries with.
    """

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

    @property
    def offers(self) -> frozenset[str]:
        """Which of the NEEDS that a method may have are met here; `pools` stands for an attribute of that name."""
        ...

    def pairs(self) -> list[Pair]:
        """The pairs to measure, source first; the first of all is the source that queries may be chosen with."""
        ...

    def score(self, distances: pd.DataFrame) -> Report:
        """Judge distances: index (source, target), one column per reference point, NaN where it is dead."""
        ...


NEEDS = {
    "classifiers": "reads labels or logits, which come from classifiers; for encoders take a method that compares "
    "features or fields, such as rsa or modelgif",
    "equal_classes": "compares outputs class by class, which asks for one set of classes; take sac_m, or a method that "
    "compares features or fields",
    "heads": "reads what a last linear layer reads, which encoders of images have not; take cka, which compares "
    "outputs, or testbed=ip_protection or unlearning",
    "labels": "needs labelled samples; take labelled ones, such as testbed/samples=digits",
    "owned": "asks which images the victim has learnt from, which is not known here; take testbed=ip_protection and a "
    "zoo that trains its victim, such as testbed/zoo=mini",
    "pools": "needs pools of images to forget and to retain; take testbed=unlearning",
    "source": "chooses its queries with the source model, which is itself scored here; take testbed=ip_protection or "
    "unlearning, another choice of queries, or leak=true, which a replication may",
    "watermark": "asks for a watermark, and no model here bears one; take testbed/zoo=lineage_watermarked",
}
"""What a method may be unable to do without -> what it says of a testbed that does not offer it."""


@dataclass(frozen=True)
class Offered:
    """What a method sees of a testbed when it chooses its queries: what it declared, and no model that is scored."""

    samples: Samples
    """The pool to draw from."""
    budget: int
    """How many samples it may show to a model."""
    source: ZooModel | None = None
    """The source model, if the method needs it."""
    models: Mapping[str, Sequence[ZooModel]] = field(default_factory=dict)
    """The method's `roles`, and for each what the models with such a role are."""
    pools: Pools | None = None
    """Images to forget and to retain, if the method needs them."""
    owned: Samples | None = None
    """The images that the source model has learnt from, if the method needs them."""
    triggers: Callable[[Samples], Samples] | None = None
    """The source model's `triggers`, if the method needs a watermark."""


Access = Literal["architecture", "label", "probability", "logit", "input-gradient", "feature", "weights"]
"""What a method needs of a suspect, from the least to the most."""


@dataclass(frozen=True)
class Method:
    """Queries, representation and distance; ModelGiF is one, a baseline is any other."""

    queries: Callable[[Offered], Any]
    """What to show to the models: Paths, Samples or whatever `represent` takes."""
    represent: Callable[[nn.Module, Any], Any]
    """A model in eval mode and the queries -> what is compared; tensors may stay on the model's device."""
    distance: Callable[[Any, Any], Any]
    """Two representations -> distances, small = related: one per reference point, or a single number."""
    access: Access
    label: str = ""
    """Name for tables and figures."""
    needs: Sequence[str] = ()
    """Which of NEEDS it cannot do without."""
    roles: Mapping[str, Sequence[str]] | None = None
    """What for -> roles of the models that `queries` opens for it."""
    leak: bool = False
    """Permit `queries` to open models that the testbed scores: a number obtained so says nothing about new models."""
    steps: int | None = None
    """How many gradients of each path a representation holds, which may then be made of a few paths at a time; None
    shows all queries at once."""
    prepare: Callable[[nn.Module, Tensor], nn.Module] | None = None
    """A model and an example input -> the same function, made ready once for all queries."""
    pairwise: Callable[[Iterable[Any], int], Tensor] | None = None
    """All models' representations, one at a time, and their number -> what `distance` says of all pairs (models,
    models, paths), where that is faster."""
    directed: bool | None = None
    """Whether the distance from a to b is another than from b to a; where all models meet all, both are then asked."""

    def __post_init__(self) -> None:
        for need in self.needs:
            if need not in NEEDS:
                raise ValueError(f"{self.label}: there is no need {need!r}; the needs are {', '.join(NEEDS)}")
        if self.leak and not self.roles and "source" not in self.needs:
            raise ValueError(f"{self.label}: leak=true permits nothing to a method that opens no models")
