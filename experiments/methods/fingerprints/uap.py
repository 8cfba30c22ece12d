"""UAP: how one perturbation of all images moves a model's answers (Peng et al., "Fingerprinting ...", CVPR 2022).

Copies share the subspace of universal adversarial perturbations of their source. The paper trains an encoder that
compares what models answer before and after; here the changes of probabilities are compared as they are, which takes
no models but the source. The perturbation is made by projected sign ascent on clipped losses (Shafahi et al.,
"Universal Adversarial Training", AAAI 2020).
"""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from experiments.interfaces import Offered, Samples
from experiments.networks.forward import predictions
from experiments.queries.samples import pick, pool_size, seeded, source
from modelgif_core.distance import cosine

CLIP = 9.0
"""Loss of an image beyond which it does not count for more; else a few far ones would lead."""
BATCH = 128


def universal_samples(offered: Offered, *, seed: int, epsilon: float, step: float, rounds: int) -> Samples:
    """Half a budget of images, the nearest to as many centres of the source's outputs, then the same ones perturbed.

    Args:
        offered: gives pool, budget and source.
        seed: starts the clustering, and orders the images that the perturbation is made on.
        epsilon: largest change of a pixel.
        step: of projected sign ascent.
        rounds: over the pool.

    Raises:
        ValueError: if the budget is odd, or a setting out of range.
    """
    from sklearn.cluster import KMeans  # only here: it takes a second
    from sklearn.metrics import pairwise_distances_argmin

    for name, value in {"epsilon": epsilon, "step": step}.items():
        if not 0 < value <= 1:
            raise ValueError(f"{name} must lie above 0 and at most at 1, the range of pixels, not {value}")
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1, not {rounds}")
    if offered.budget % 2:
        raise ValueError(f"samples and their perturbed twins take an even budget, not {offered.budget}")
    half = offered.budget // 2
    pool_size(replace(offered, budget=half))
    model = source(offered)
    images = offered.samples.inputs
    outputs = predictions(model, images)
    values = outputs.flatten(1).cpu().double().numpy()
    centres = KMeans(half, n_init=1, random_state=seed).fit(values).cluster_centers_
    nearest = torch.from_numpy(pairwise_distances_argmin(centres, values))
    moved = perturbation(model, images, outputs.argmax(1), epsilon=epsilon, step=step, rounds=rounds, seed=seed)
    clean = pick(Samples(images), nearest).inputs
    return Samples(torch.cat([clean, (clean + moved.cpu()).clamp(0, 1)]))


def perturbation(
    model: nn.Module, images: Tensor, labels: Tensor, *, epsilon: float, step: float, rounds: int, seed: int
) -> Float[Tensor, "channels height width"]:
    """One change of all images, at most `epsilon` a pixel, that takes as many as it can from these labels."""
    device = labels.device
    moved = torch.zeros(images.shape[1:], device=device)
    generator = seeded(seed)
    for _ in range(rounds):
        for batch in torch.randperm(len(images), generator=generator).split(BATCH):
            leaf = moved.clone().requires_grad_()
            shown = (images[batch].to(device) + leaf).clamp(0, 1)
            losses = cross_entropy(model(shown), labels[batch.to(device)], reduction="none")
            (gradient,) = torch.autograd.grad(losses.clamp(max=CLIP).sum(), leaf)
            moved = (moved + step * gradient.sign()).clamp(-epsilon, epsilon)
    return moved


def movement_cosine(a: Float[Tensor, "samples classes"], b: Float[Tensor, "samples classes"]) -> Float[Tensor, ""]:
    """One minus the cosine of how two models' probabilities change: 0 (alike) to 2 (opposite); NaN where none does.

    >>> one = torch.tensor([[4.0, 0.0], [0.0, 4.0], [0.0, 4.0], [0.0, 4.0]])  # the first image changes sides
    >>> float(movement_cosine(one, one)), round(float(movement_cosine(one, one.flip(1))), 4)
    (0.0, 2.0)
    """
    return cosine(_movement(a), _movement(b))[0]


def _movement(outputs: Tensor) -> Float[Tensor, "1 1 changes"]:
    before, after = outputs.softmax(1).chunk(2)
    return (after - before).view(1, 1, -1)
