"""CIFAR-10's photographs, shared out: to a victim, attackers, its owner, strangers, and to what all are judged on.

Everybody's images are disjoint; the owner has twice as many as strangers, because models that calibrate and models that
select learn from half of them each. Half of the test images are the pool of reference points, the others judge.
"""

from collections.abc import Callable, Mapping
from functools import cache, partial

import torch

from experiments.interfaces import Samples
from experiments.samples.cifar import cifar_folder

PARTS = {"victim": 8000, "attacker": 6000, "owner": 4000, "stranger": 2000}
JUDGED = {"evaluation": 2000, "references": 2000}


def references(*, root: str) -> Samples:
    """The pool of reference points: 2,000 photographs (2000, 3, 32, 32) that no model was trained or judged on."""
    return photographs("references", root=root)


def photographs(part: str, size: int | None = None, *, root: str) -> Samples:
    """The photographs of one part, or the first `size` of them; classes come in turn.

    Args:
        part: victim, attacker, owner, stranger, evaluation or references.
        size: all of them by default.
        root: an image folder, `<root>/{train,test}/<class>/*.jpg|png`, with 2,000 and 400 images of each class.

    Raises:
        ValueError: if the part is another one or has fewer images, or the folder holds other images.
    """
    return dealt(part, size, {"train": PARTS, "test": JUDGED}, partial(_read, root=root))


def dealt(
    part: str, size: int | None, shares: Mapping[str, Mapping[str, int]], read: Callable[[str], Samples]
) -> Samples:
    """The first `size` images of a part, all by default, where parts follow each other in what they are cut from.

    Args:
        part: one of the parts.
        size: how many.
        shares: source -> part -> its number of images.
        read: source -> all its images and labels.

    Raises:
        ValueError: if the part is another one or has fewer images.
    """
    known = {name: count for parts in shares.values() for name, count in parts.items()}
    if part not in known:
        raise ValueError(f"part must be one of {', '.join(known)}, not {part!r}")
    size = known[part] if size is None else size
    if not 1 <= size <= known[part]:
        raise ValueError(f"part {part!r} has {known[part]} images, so size must lie between 1 and that, not {size}")
    source, parts = next((source, parts) for source, parts in shares.items() if part in parts)
    first = sum(parts[name] for name in list(parts)[: list(parts).index(part)])
    whole = read(source)
    assert whole.labels is not None
    return Samples(whole.inputs[first : first + size], whole.labels[first : first + size])


@cache
def corrupted(part: str, size: int | None = None, *, root: str) -> Samples:
    """The same photographs blurred or under noise, in turn."""
    return blurred_or_noisy(photographs(part, size, root=root))


@cache
def turned(part: str, size: int | None = None, *, root: str) -> Samples:
    """Another label set: which of five pairs of classes, and whether the photograph is upside down."""
    return upside_down(photographs(part, size, root=root))


def blurred_or_noisy(clean: Samples) -> Samples:
    """The photographs blurred (Gaussian, one pixel) or under Gaussian noise of 0.1, in turn; the labels stay."""
    from torchvision.transforms.v2.functional import gaussian_blur  # only here: it takes seconds

    images = clean.inputs.clone()
    images[::2] = gaussian_blur(images[::2], [5, 5], [1.0, 1.0])
    noise = torch.randn(images[1::2].shape, generator=torch.Generator().manual_seed(0))
    images[1::2] = (images[1::2] + 0.1 * noise).clamp(0, 1)
    return Samples(images, clean.labels)


def upside_down(clean: Samples) -> Samples:
    """Another label set: which of five pairs of neighbouring classes, and whether the photograph is upside down.

    A mirrored photograph keeps its label, so that everybody may train on mirrored ones. Label 0, an upright airplane or
    automobile, is shared with an original one; other labels mean other classes.
    """
    assert clean.labels is not None
    upside = torch.randint(2, (len(clean.inputs),), generator=torch.Generator().manual_seed(0))
    images = torch.where(upside.view(-1, 1, 1, 1) == 1, clean.inputs.flip(2, 3), clean.inputs)
    return Samples(images, 2 * (clean.labels // 2) + upside)


@cache
def _read(source: str, root: str) -> Samples:
    return cifar_folder(source, folder=root, per_class=2000 if source == "train" else 400)
