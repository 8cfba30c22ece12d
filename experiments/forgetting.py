"""What a model is to remember and what to forget: four pools of images, two that it trains on and two it never sees."""

from dataclasses import dataclass

import torch
from torch import Tensor

from experiments.interfaces import Samples

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
        return joined(self.retain, self.forget)

    def to(self, device: torch.device | str) -> "Pools":
        """The same pools on that device."""
        parts = {name: getattr(self, name) for name in POOLS}
        moved = {
            name: Samples(part.inputs.to(device), labels_of(part, name).to(device)) for name, part in parts.items()
        }
        return Pools(**moved, classes=self.classes, label=self.label)


def split(
    train: Samples,
    unseen: Samples,
    *,
    classes: int,
    label: int | None = None,
    share: float | None = None,
    seed: int = 0,
) -> Pools:
    """Cut images into pools by what is to be forgotten: one class, or a random share of the training images.

    Args:
        train: labelled images to train on.
        unseen: labelled images that nobody trains on. If a share is forgotten, every second one stands for it.
        classes: number of classes.
        label: the class to forget.
        share: the share of training images to forget, between 0 and 1.
        seed: draws the share.

    Raises:
        ValueError: if not exactly one of the two is given, the class is absent, or a pool would be empty.
    """
    if (label is None) == (share is None):
        raise ValueError(f"name a class to forget or a share, one of the two, not label={label} and share={share}")
    if label is not None:
        chosen = [labels_of(samples, "whole") == label for samples in (train, unseen)]
        if not all(part.any() for part in chosen):
            known = ", ".join(str(found) for found in sorted(set(labels_of(train, "training").tolist())))
            raise ValueError(f"no image of class {label} to forget; the classes are {known}")
    else:
        assert share is not None
        count = round(share * len(train.inputs))
        if not 0 < count < len(train.inputs):
            raise ValueError(
                f"share {share} of {len(train.inputs)} training images forgets {count} of them; "
                "at least one must be forgotten and one retained"
            )
        order = torch.randperm(len(train.inputs), generator=torch.Generator().manual_seed(seed))
        chosen = [torch.zeros(len(train.inputs), dtype=torch.bool), torch.arange(len(unseen.inputs)) % 2 == 0]
        chosen[0][order[:count]] = True
    parts = [_where(samples, mask) for samples, mask in zip((train, unseen), chosen, strict=True)]
    rest = [_where(samples, ~mask) for samples, mask in zip((train, unseen), chosen, strict=True)]
    if not all(len(part.inputs) for part in (*parts, *rest)):
        raise ValueError(f"forgetting class {label} leaves nothing to retain")
    return Pools(parts[0], parts[1], rest[0], rest[1], classes, label)


def joined(*parts: Samples) -> Samples:
    """All samples of several sets, in order."""
    return Samples(torch.cat([part.inputs for part in parts]), torch.cat([labels_of(part, "joined") for part in parts]))


def log_odds(outputs: Tensor, labels: Tensor) -> Tensor:
    """log(p / (1 - p)) of each row's true class (n,): any number, 0 if p is a half; exact where p rounds to 0 or 1."""
    true = labels[:, None]
    return outputs.gather(1, true)[:, 0] - outputs.scatter(1, true, -torch.inf).logsumexp(1)


def _where(samples: Samples, mask: Tensor) -> Samples:
    return Samples(samples.inputs[mask], labels_of(samples, "whole")[mask])


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
