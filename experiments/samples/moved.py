"""More images from few: what an attacker asks a victim when its own images run out."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad

from experiments.interfaces import Samples

Move = Callable[[Tensor, torch.Generator], Tensor]
"""Images (n, channels, height, width) and what draws -> as many of the same size, each changed a little."""


def with_moved(samples: Samples, count: int, move: Move, *, seed: int = 0) -> Samples:
    """So many samples: the given ones, then rounds of moved copies of them with the same labels.

    Raises:
        ValueError: if `count` is below 1 or there are no samples.
    """
    if count < 1 or not len(samples.inputs):
        raise ValueError(f"an attacker needs at least one query and one image, not {count} of {len(samples.inputs)}")
    generator = torch.Generator().manual_seed(seed)
    inputs = [samples.inputs]
    while sum(map(len, inputs)) < count:
        inputs.append(move(samples.inputs, generator))
    labels = None if samples.labels is None else samples.labels.repeat(len(inputs))[:count]
    return Samples(torch.cat(inputs)[:count], labels)


def shift(images: Tensor, generator: torch.Generator, *, pixels: int = 2) -> Tensor:
    """The images, each moved by up to so many pixels up or down and left or right; what comes in is black.

    >>> moved = shift(torch.ones(1, 1, 4, 4), torch.Generator().manual_seed(0), pixels=1)
    >>> moved.shape, bool((moved <= 1).all())
    (torch.Size([1, 1, 4, 4]), True)
    """
    count, _, height, width = images.shape
    rows, columns = torch.randint(2 * pixels + 1, (2, count), generator=generator)
    windows = pad(images, [pixels] * 4).unfold(2, height, 1).unfold(3, width, 1)  # a view: nothing is copied
    return windows[torch.arange(count), :, rows, columns]
