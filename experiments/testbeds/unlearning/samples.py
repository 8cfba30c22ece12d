"""Data sets cut into what is to be forgotten and what to be retained; each function gives `Pools`."""

from functools import cache

import torch

from experiments.interfaces import Pools, Samples
from experiments.samples.cifar import cifar, cifar_folder
from experiments.samples.digits import mnist_5k
from experiments.samples.toy import toy
from experiments.testbeds.unlearning.pools import split


@cache
def forgotten_digits(*, label: int | None = 9, share: float | None = None, seed: int = 0) -> Pools:
    """MNIST-5k: 1,500 digits to train on, 1,400 that nobody trains on."""
    images, labels = mnist_5k()
    assert labels is not None
    train, unseen = (Samples(images[part], labels[part]) for part in (slice(1500), slice(3600, None)))
    return split(train, unseen, classes=10, label=label, share=share, seed=seed)


@cache
def forgotten_cifar(
    *,
    root: str,
    classes: int = 10,
    label: int | None = 9,
    share: float | None = None,
    seed: int = 0,
    download: bool = False,
    dry_run: bool = False,
) -> Pools:
    """CIFAR-10 or CIFAR-100 as published: 50,000 photographs to train on, 10,000 that nobody trains on.

    A dry run takes 80 random images of the same shape instead, a quarter of them of the forgotten class.
    """
    if dry_run:
        parts = (_noise(80, classes, label, seed=part) for part in range(2))
        return split(*parts, classes=classes, label=label, share=share, seed=seed)
    parts = (cifar(part, root=root, classes=classes, download=download) for part in ("train", "test"))
    return split(*parts, classes=classes, label=label, share=share, seed=seed)


@cache
def forgotten_cifar_folder(
    *,
    root: str,
    label: int | None = 9,
    share: float | None = None,
    seed: int = 0,
    per_class: int | None = None,
    unseen_per_class: int | None = None,
) -> Pools:
    """CIFAR-10 from a tree of image files: `<root>/{train,test}/<class>/*.jpg`, the first ones of each class."""
    train = cifar_folder("train", folder=root, per_class=per_class)
    unseen = cifar_folder("test", folder=root, per_class=unseen_per_class)
    assert train.labels is not None
    return split(train, unseen, classes=int(train.labels.max()) + 1, label=label, share=share, seed=seed)


@cache
def forgotten_toy(*, label: int | None = 9, share: float | None = None, seed: int = 0) -> Pools:
    """Random images of ten classes, each a mixture of its class's image with another one; for tests."""
    patterns = toy(size=10, seed=seed + 2).inputs

    def mixed(number: int) -> Samples:
        inputs, labels = toy(size=400, seed=seed + number)
        assert labels is not None
        return Samples(0.6 * patterns[labels] + 0.4 * inputs, labels)

    return split(mixed(0), mixed(1), classes=10, label=label, share=share, seed=0 if label is not None else seed)


def _noise(size: int, classes: int, label: int | None, *, seed: int) -> Samples:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (size,), generator=generator)
    if label is not None:
        labels[::4] = label
    return Samples(torch.rand(size, 3, 32, 32, generator=generator), labels)
