"""LiteGuard: a linear verifier for each learned input, told by copies and independent models what copies answer.

Cheap as MetaV is not (Pan et al., "MetaV", KDD 2022): each input has a verifier of its own, so that few parameters are
learned. The paper also takes checkpoints from the middle of trainings as further models, which is a matter of the
method's `roles`.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from experiments.interfaces import Offered, Samples
from experiments.methods.outputs.pointwise import outputs
from experiments.networks.forward import device_of
from experiments.queries.samples import jury, random_samples, refuse_none, seeded, source

WEIGHTS = {"source": 0.5, "near": 1.0, "far": 1.5}
"""Of the three losses: the owner's model and its copies are to be told from independent ones."""


@dataclass(frozen=True)
class Examined:
    """Learned inputs, each with a linear verifier of what a model answers to it."""

    inputs: Float[Tensor, "samples ..."]
    weights: Float[Tensor, "samples classes"]
    offsets: Float[Tensor, " samples"]


def learned_inputs(offered: Offered, *, seed: int, rate: float, steps: int) -> Examined:
    """A budget of random samples and their verifiers, learned together by Adam; inputs stay in [0, 1].

    Every step shows the inputs to the source, one copy and one independent model.

    Args:
        offered: gives pool, budget, source, its copies for `near` and independent models for `far`.
        seed: draws samples, verifiers and models.
        rate: of Adam.
        steps: of it.

    Raises:
        ValueError: if a setting is not above 0, or there are no copies or no independent models.
    """
    refuse_none(rate=rate, steps=steps)
    chosen = random_samples(offered, seed=seed)
    juries = {"source": [source(offered)], "near": jury(offered, "near"), "far": jury(offered, "far")}
    device = device_of(juries["source"][0], chosen.inputs)
    generator, classes = seeded(seed), outputs(juries["source"][0], chosen).shape[1]
    inputs = chosen.inputs.to(device, copy=True).requires_grad_()
    weights = (0.01 * torch.randn(len(inputs), classes, generator=generator)).to(device).requires_grad_()
    offsets = torch.zeros(len(inputs), device=device, requires_grad=True)
    descent = torch.optim.Adam([inputs, weights, offsets], lr=rate)
    for _ in range(steps):
        loss = torch.zeros((), device=device)
        for use, models in juries.items():
            model = models[int(torch.randint(len(models), (), generator=generator))]
            # The copy lets a model's first layer work in place, which a leaf would refuse.
            score = _scores(model(inputs.clone()), weights, offsets)
            loss = loss - WEIGHTS[use] * logsigmoid(-score if use == "far" else score).mean()
        inputs.grad, weights.grad, offsets.grad = torch.autograd.grad(loss, [inputs, weights, offsets])
        descent.step()
        with torch.no_grad():
            inputs.clamp_(0, 1)
    return Examined(*(part.detach().cpu() for part in (inputs, weights, offsets)))


def verified(model: nn.Module, queries: Examined) -> Float[Tensor, " samples"]:
    """What each verifier says of the model: 0 (independent) to 1 (a copy)."""
    answers = outputs(model, Samples(queries.inputs))
    return _scores(answers, queries.weights.to(answers), queries.offsets.to(answers)).sigmoid()


def less_verified(a: Tensor, b: Tensor) -> Float[Tensor, " samples"]:
    """By how much less each verifier takes the second model for a copy than the first: -1 to 1, 0 on a twin.

    Against one source, its mean ranks suspects as the paper's score does, the mean of what the verifiers say.
    """
    return a - b


def _scores(answers: Tensor, weights: Tensor, offsets: Tensor) -> Float[Tensor, " samples"]:
    return (answers.softmax(1) * weights).sum(1) + offsets
