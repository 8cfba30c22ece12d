"""What a model is to remember and what to forget: four pools of images, two that it trains on and two it never sees."""

import torch
from torch import Tensor

from experiments.interfaces import Pools, Samples, labels_of


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
        ValueError: if not exactly one of the two is given, the class is absent, a pool would be empty, or there is a
            seed and nothing to draw.
    """
    if (label is None) == (share is None):
        raise ValueError(f"name a class to forget or a share, one of the two, not label={label} and share={share}")
    if label is not None and seed:
        raise ValueError(f"seed={seed} would draw a share, and all images of class {label} are forgotten; leave it out")
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
        what = f"class {label}" if share is None else f"a share of {share}"
        raise ValueError(
            f"forgetting {what} of {len(train.inputs)} training and {len(unseen.inputs)} unseen images leaves a pool "
            "empty: to forget, to retain, and of either unseen; give more images"
        )
    return Pools(parts[0], parts[1], rest[0], rest[1], classes, label)


def _where(samples: Samples, mask: Tensor) -> Samples:
    return Samples(samples.inputs[mask], labels_of(samples, "whole")[mask])
