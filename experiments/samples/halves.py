"""CIFAR-10 as SAC shares it out (Guan et al., 2022): half of the training images are the victim's, half the attackers'.

Nobody else has one of these. The owner, who trains held-out models on half of its own and those that select on the
other half, and strangers who know nothing of either have test images; the others are the pool of reference points and
what all are judged on.
"""

from functools import cache, partial

import torch

from experiments.interfaces import Samples
from experiments.samples.cifar import cifar
from experiments.samples.photographs import blurred_or_noisy, dealt, upside_down

SHARES = {
    "train": {"victim": 25000, "attacker": 25000},
    "test": {"owner": 4400, "stranger": 2200, "evaluation": 1900, "references": 1500},
}
REHEARSED = 16
"""Images of each part in a dry run."""


def references(*, root: str, dry_run: bool = False) -> Samples:
    """The pool of reference points: 1,500 photographs (1500, 3, 32, 32) that no model was trained or judged on."""
    return halves("references", root=root, dry_run=dry_run)


def halves(part: str, size: int | None = None, *, root: str, dry_run: bool = False) -> Samples:
    """The photographs of one part, or the first `size` of them, in an order of their own.

    Args:
        part: victim, attacker, owner, stranger, evaluation or references.
        size: all of them by default.
        root: where the published archive lies unpacked.
        dry_run: takes 16 random images of the same shape instead.

    Raises:
        ValueError: if the part is another one or has fewer images, or the archive is not there.
    """
    if dry_run:
        few = {source: dict.fromkeys(parts, REHEARSED) for source, parts in SHARES.items()}
        return dealt(part, size, few, _random)
    return dealt(part, size, SHARES, partial(_shuffled, root=root))


@cache
def corrupted(part: str, size: int | None = None, *, root: str, dry_run: bool = False) -> Samples:
    """The same photographs blurred or under noise, in turn."""
    return blurred_or_noisy(halves(part, size, root=root, dry_run=dry_run))


@cache
def turned(part: str, size: int | None = None, *, root: str, dry_run: bool = False) -> Samples:
    """Another label set: which of five pairs of classes, and whether the photograph is upside down."""
    return upside_down(halves(part, size, root=root, dry_run=dry_run))


@cache
def _random(source: str) -> Samples:
    size = REHEARSED * len(SHARES[source])
    generator = torch.Generator().manual_seed([*SHARES].index(source))
    return Samples(torch.rand(size, 3, 32, 32, generator=generator), torch.arange(size) % 10)


@cache
def _shuffled(source: str, root: str) -> Samples:
    whole = cifar(source, root=root)
    assert whole.labels is not None
    order = torch.randperm(len(whole.inputs), generator=torch.Generator().manual_seed(0))
    return Samples(whole.inputs[order], whole.labels[order])
