"""What one frozen encoder is worth to every task: the error of a probe fitted to its feature maps, image by image.

Dense targets (images, channels, 32, 32) are read from the 3 x 3 neighbourhood of each position of the feature map, by
the same weights everywhere, in blocks; global ones (images, numbers) from the map pooled to 4 x 4. Targets are
residuals from the mean map of the training scenes, so error 1 is what knowing nothing but that mean gives there, and
about 1 on other scenes.
"""

from collections.abc import Callable, Mapping
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, pixel_shuffle, pixel_unshuffle, unfold

from experiments.training.fit import fit

Predict = Callable[[Tensor], Tensor]
Fit = Callable[[Tensor, Tensor], Predict]
"""Rows of features and of targets -> a function that predicts targets from features."""

FEW, LENGTHS = 2560, (1, 3, 10, 30)
"""At most so many rows are few; passes over them that a small network tries."""
PENALTIES = torch.logspace(-6, 2, 9, dtype=torch.float64)


def errors(
    features: tuple[Tensor, Tensor],
    targets: Mapping[str, tuple[Tensor, Tensor]],
    *,
    probe: Fit,
) -> dict[str, Float[Tensor, " images"]]:
    """Mean squared error of the probe on each evaluation image, for every target task.

    Args:
        features: maps (images, channels, height, width) of the images to fit on, and of those to evaluate on.
        targets: task -> standardised targets of the same two sets of images.
        probe: `ridge` or `small_network`.
    """
    found = {}
    for task, (known, wanted) in targets.items():
        rows = patches if known.ndim == 4 else pooled
        size = features[0].shape[-1]
        predict = probe(rows(features[0]), blocks(known, size))
        predicted = unblock(predict(rows(features[1])), wanted.shape, size)
        found[task] = (predicted - wanted).square().flatten(1).mean(1)
    return found


def ridge(features: Float[Tensor, "rows dims"], targets: Float[Tensor, "rows outputs"]) -> Predict:
    """Ridge regression in closed form; each output's penalty is the best on the last quarter of the rows.

    (scikit-learn's RidgeCV fits one penalty at a time to all outputs; one eigendecomposition serves them all here.)
    """
    centre, scale = features.mean(0), features.std(0).clamp_min(1e-6)
    features, offset = ((features - centre) / scale).double(), targets.mean(0)
    targets = (targets - offset).double()
    part = len(features) * 3 // 4
    trial = _solutions(features[:part], targets[:part])
    misses = torch.stack([(features[part:] @ weights - targets[part:]).square().sum(0) for weights in trial])
    chosen = misses.argmin(0)
    weights = torch.stack(_solutions(features, targets))[chosen, :, torch.arange(targets.shape[1])].T.float()
    return lambda rows: (rows - centre) / scale @ weights + offset


def small_network(features: Tensor, targets: Tensor, *, hidden: int = 64) -> Predict:
    """A perceptron with one hidden layer, trained; for checking that the order is not owed to a linear probe.

    Of few rows, as global targets have, it soon knows each by heart: how long it learns is then what is best on the
    last quarter of them, as the ridge's penalty is.
    """
    if len(features) > FEW:
        return _perceptron(features, targets, hidden=hidden, epochs=8, batch_size=256)
    part = len(features) * 3 // 4
    learn = partial(_perceptron, hidden=hidden, batch_size=min(32, part))
    trials = {epochs: learn(features[:part], targets[:part], epochs=epochs) for epochs in LENGTHS}
    misses = {epochs: (trial(features[part:]) - targets[part:]).square().mean() for epochs, trial in trials.items()}
    return learn(features, targets, epochs=min(misses, key=misses.__getitem__))


def patches(maps: Float[Tensor, "images channels height width"]) -> Float[Tensor, "rows dims"]:
    """The 3 x 3 neighbourhood of every position, one row each; zero beyond the border."""
    return unfold(maps, 3, padding=1).transpose(1, 2).flatten(0, 1)


def pooled(maps: Float[Tensor, "images channels height width"]) -> Float[Tensor, "images dims"]:
    """The map pooled to 4 x 4, one row an image."""
    return adaptive_avg_pool2d(maps, 4).flatten(1)


def blocks(targets: Tensor, size: int) -> Float[Tensor, "rows outputs"]:
    """Dense targets cut into size x size blocks, one row each; global ones as they are."""
    if targets.ndim == 2:
        return targets
    return pixel_unshuffle(targets, targets.shape[-1] // size).flatten(2).transpose(1, 2).flatten(0, 1)


def unblock(rows: Tensor, shape: torch.Size, size: int) -> Tensor:
    """The inverse of `blocks`."""
    if len(shape) == 2:
        return rows
    maps = rows.unflatten(0, (shape[0], size * size)).transpose(1, 2).unflatten(2, (size, size))
    return pixel_shuffle(maps, shape[-1] // size)


def _perceptron(features: Tensor, targets: Tensor, *, hidden: int, epochs: int, batch_size: int) -> Predict:
    centre, scale = features.mean(0), features.std(0).clamp_min(1e-6)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(features.shape[1], hidden), nn.ReLU(), nn.Linear(hidden, targets.shape[1]))
        fit(
            network.train(),
            (features - centre) / scale,
            targets,
            epochs=epochs,
            rate=3e-3,
            seed=0,
            loss=lambda model, rows, wanted: (model(rows) - wanted).square().mean(),
            batch_size=batch_size,
        )

    def predict(rows: Tensor) -> Tensor:
        with torch.no_grad():
            return network((rows - centre) / scale)

    return predict


def _solutions(features: Tensor, targets: Tensor) -> list[Tensor]:
    """Ridge weights (dims, outputs) for every penalty, relative to the mean eigenvalue."""
    values, vectors = torch.linalg.eigh(features.T @ features)
    projected = vectors.T @ (features.T @ targets)
    return [vectors @ (projected / (values + penalty * values.mean())[:, None]) for penalty in PENALTIES]
