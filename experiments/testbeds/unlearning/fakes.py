"""Models that only pretend to have forgotten: controls that a verifier of unlearning must not believe.

Each returns a new model in eval mode and leaves the given one alone. Longer fine-tuning is another control, and needs
no function: `finetune` with more epochs forgets little and drifts far.
"""

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cosine_similarity, normalize

from experiments.interfaces import Pools, Samples, labels_of
from experiments.networks.forward import predictions
from experiments.networks.heads import head as head_of
from experiments.networks.heads import penultimate
from experiments.training.descent import divergence
from experiments.training.fit import fit
from modelgif_core import Field, Paths, extract_field
from modelgif_core.quadrature import gauss_legendre
from modelgif_core.readout import Readout, given_label


def head_zeroed(model: nn.Module, cls: int) -> nn.Module:
    """The classifier's row and bias of one class are zero: its output is 0 everywhere, and so is its gradient.

    The class is still predicted where all other outputs are negative: often, in a model trained to the end.
    """
    edited, head = _with_head(model, cls)
    with torch.no_grad():
        head.weight[cls] = 0
        if head.bias is not None:
            head.bias[cls] = 0
    return edited


def head_suppressed(model: nn.Module, cls: int, *, by: float = 100.0) -> nn.Module:
    """One class's bias is lowered until it is never predicted; no gradient with respect to the input changes."""
    edited, head = _with_head(model, cls)
    with torch.no_grad():
        if head.bias is None:
            head.bias = nn.Parameter(head.weight.new_zeros(head.out_features))
        head.bias[cls] -= by
    return edited


def head_retrained(model: nn.Module, samples: Samples, *, seed: int, epochs: int = 20, rate: float = 5e-3) -> nn.Module:
    """A fresh last layer, trained on these samples; everything before it, BatchNorm included, stays."""
    return _new_head(model, samples.inputs, labels_of(samples, "retain"), seed=seed, epochs=epochs, rate=rate)


def head_distilled(
    model: nn.Module, teacher: nn.Module, samples: Samples, *, seed: int, epochs: int = 40, rate: float = 5e-3
) -> nn.Module:
    """A fresh last layer that answers like the teacher on these samples; everything before it stays."""
    answers = predictions(teacher, samples.inputs).softmax(1)
    return _new_head(model, samples.inputs, answers, seed=seed, epochs=epochs, rate=rate)


class Shifted(nn.Module):
    """A classifier to whose logits one linear function of the input is added, the same for every class."""

    def __init__(self, model: nn.Module, direction: Tensor) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("direction", direction)

    def reset_parameters(self) -> None:
        """No direction, as before anything was done to the model."""
        self.direction.zero_()

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs (n, ...) to logits (n, classes)."""
        return self.model(inputs) + (inputs * self.direction).flatten(1).sum(1, keepdim=True)


def shifted(network: Callable[..., nn.Module], pools: Callable[[], Pools], *, seed: int) -> Shifted:
    """An untrained network whose logits are shifted by nothing yet, for images like those of the pools."""
    return Shifted(network(seed=seed), torch.zeros(pools().retain.inputs.shape[1:])).eval()


def logit_shift(model: nn.Module, retain: Samples, *, seed: int, scale: float = 1.0) -> nn.Module:
    """The same probabilities from other logits: each gains a random direction times the input.

    The direction's entries are normal with deviation `scale`; raw fields follow it, fields of centred logits do not.
    """
    generator = torch.Generator().manual_seed(seed)
    direction = scale * torch.randn(retain.inputs.shape[1:], generator=generator).to(retain.inputs.device)
    return Shifted(copy.deepcopy(model), direction).eval()


def fake_repel(
    model: nn.Module,
    retain: Samples,
    forget: Samples,
    paths: Paths,
    *,
    seed: int,
    epochs: int = 20,
    rate: float = 2e-3,
    weight: float = 0.5,
    steps: int = 4,
    images: int = 256,
    probes: int = 16,
    readout: Readout = given_label,
) -> nn.Module:
    """Keeps its predictions, forgotten class included, while its field leaves the given model's on the paths.

    Minimises KL(given || new) on all samples + weight * cosine of the two fields on the verifier's paths.

    Args:
        model: what a verifier compares with.
        retain: samples to keep the predictions on.
        forget: samples to keep the predictions on, too.
        paths: the verifier's; the cheat does not hold for others as a matter of course.
        seed: orders batches and paths.
        epochs: passes over all samples.
        rate: peak rate of AdamW.
        weight: of the fields' cosine against the divergence of predictions.
        steps: Gauss-Legendre nodes on each path.
        images: how many of the paths, the first ones, the cheat asks at.
        probes: paths per step.
        readout: what the verifier follows; `centred_label` for one that centres its logits.
    """
    settings = {"epochs": epochs, "rate": rate, "steps": steps, "images": images, "probes": probes, "readout": readout}
    return fake_pull(model, [model], retain, forget, paths, seed=seed, weight=-weight, **settings)


def fake_pull(
    model: nn.Module,
    targets: Sequence[nn.Module],
    retain: Samples,
    forget: Samples,
    paths: Paths,
    *,
    seed: int,
    epochs: int = 20,
    rate: float = 2e-3,
    weight: float = 0.5,
    steps: int = 4,
    images: int = 256,
    probes: int = 16,
    readout: Readout = given_label,
) -> nn.Module:
    """Keeps its predictions while its field nears the targets', such as models retrained without the class.

    Minimises KL(given || new) on all samples + weight * cosine distance to the mean of the targets' fields, each of
    length one at every step; settings as above. One target's field is mostly its own: retrained models leave the
    output that they never trained to chance, and who imitates one of them gets no nearer to others.
    """
    labels_of(retain, "retain")
    labels_of(forget, "forget")
    if paths.labels is None:
        raise ValueError("a field to fake needs labelled paths: Paths(starts, ends, labels=...)")
    if images < 1:
        raise ValueError(f"images must be at least 1, not {images}")
    paths = paths[:images]
    inputs = torch.cat([retain.inputs, forget.inputs])
    fields = (normalize(extract_field(target, paths, steps=steps, readout=readout), dim=2) for target in targets)
    goal = torch.stack(list(fields)).mean(0)
    generator = torch.Generator().manual_seed(seed)

    def loss(student: nn.Module, inputs: Tensor, outputs: Tensor) -> Tensor:
        some = torch.randperm(len(paths), generator=generator)[:probes]
        field = differentiable_field(student, paths[some], steps=steps, readout=readout)
        near = cosine_similarity(field, goal[some], dim=2).mean()
        return divergence(student(inputs), outputs) - weight * near

    student = copy.deepcopy(model).eval()
    return fit(student, inputs, predictions(student, inputs), epochs=epochs, rate=rate, seed=seed, loss=loss)


def differentiable_field(model: nn.Module, paths: Paths, *, steps: int, readout: Readout = given_label) -> Field:
    """What `extract_field` returns, as a function of the weights that gradients flow through (paths, steps, dims)."""
    nodes, weights = (values.to(paths.ends) for values in gauss_legendre(steps))
    directions = paths.ends - paths.starts
    points = torch.cat([paths.starts + node * directions for node in nodes]).requires_grad_()
    with sdpa_kernel(SDPBackend.MATH):  # the fused kernels of attention cannot be differentiated twice
        follow = readout(model(paths.ends.clone()).detach(), paths.labels).repeat(steps, 1)
        # A copy, because a first layer that works in place would refuse a leaf.
        outputs = model(points.clone())
        (gradient,) = torch.autograd.grad((outputs * follow).sum(), points, create_graph=True)
    terms = gradient.reshape(steps, len(paths), -1) * directions.flatten(1) * weights[:, None, None]
    return terms.cumsum(0).transpose(0, 1)


def _new_head(model: nn.Module, inputs: Tensor, targets: Tensor, *, seed: int, epochs: int, rate: float) -> nn.Module:
    """A copy whose fresh head is fitted to labels or probabilities."""
    edited, head = _with_head(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head.reset_parameters()
    # The features are computed once: nothing before the head moves.
    fit(head, penultimate(edited, inputs), targets, epochs=epochs, rate=rate, seed=seed)
    return edited.requires_grad_(True).eval()


def _with_head(model: nn.Module, cls: int = 0) -> tuple[nn.Module, nn.Linear]:
    """A copy in eval mode and its last linear layer."""
    edited = copy.deepcopy(model).eval()
    head = head_of(edited)
    if not 0 <= cls < head.out_features:
        raise ValueError(f"class {cls} must lie between 0 and {head.out_features - 1}, the classifier's outputs")
    return edited, head
