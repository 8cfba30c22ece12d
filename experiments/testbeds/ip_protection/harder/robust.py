"""A copy that is trained until small changes of an image no longer fool it, which moves every boundary."""

import copy
import warnings
from functools import partial

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from experiments.training.fit import fit


def train_adversarially(
    victim: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    seed: int,
    epochs: int = 10,
    rate: float = 3e-3,
    radius: float = 0.1,
    batch_size: int = 32,
) -> nn.Module:
    """A copy trained on adversarial examples alone, with their true labels (PGD-AT; Madry et al., ICLR 2018).

    Against fingerprints as in Xu et al. ("United We Stand, Divided We Fall", NeurIPS 2024).

    Args:
        victim: is left alone.
        images: the attacker's.
        labels: true ones.
        seed: orders the batches.
        epochs: passes over the images.
        rate: peak learning rate.
        radius: largest change of a pixel, in [0, 1], above 0.
        batch_size: images per step.

    Raises:
        ValueError: if the radius is none.
    """
    if not 0 < radius <= 1:
        raise ValueError(f"radius must be a change of a pixel above 0 and at most 1, not {radius}")

    def loss(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        return cross_entropy(model(hostile(model, inputs, targets, radius=radius)), targets)

    student = copy.deepcopy(victim).train()
    return fit(student, images, labels, epochs=epochs, rate=rate, seed=seed, loss=loss, batch_size=batch_size)


def hostile(model: nn.Module, inputs: Tensor, labels: Tensor, *, radius: float, steps: int | None = None) -> Tensor:
    """Adversarial examples (Madry et al., ICLR 2018): PGD of four steps, each 0.4 of the radius, within [0, 1].

    Or of so many steps, each a quarter of the radius, as published.

    The model is attacked in eval mode, and is in train mode afterwards.
    """
    from captum.robust import PGD  # only here: it takes a second, and most attacks do without

    attack = PGD(model.eval(), partial(cross_entropy, reduction="none"), lower_bound=0, upper_bound=1)
    with warnings.catch_warnings(action="ignore"):  # captum tells that it asks for gradients, at every step
        size = (0.4 if steps is None else 0.25) * radius
        changed = attack.perturb(inputs, radius=radius, step_size=size, step_num=steps or 4, target=labels)
    model.train()
    return changed.detach()
