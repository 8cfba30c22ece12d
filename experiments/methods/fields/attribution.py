"""Attribution maps as representations, by captum: the single-map ancestors of the gradient field.

Integrated gradients (Sundararajan et al., 2017) is the field's last step; gradient x input (Shrikumar et al., 2016),
saliency (Simonyan et al., 2014) and LRP (Bach et al., 2015) need one backward pass instead of fifty. Song et al. ("Deep
Model Transferability from Attribution Maps", NeurIPS 2019) compared tasks by saliency, gradient x input and LRP with
the epsilon rule, which in ReLU networks is gradient x input; `lrp` here has the z+ rule. All follow what the testbed's
readout follows at each path's end and keep what its view keeps, like the field.
"""

import copy
import operator
from collections.abc import Callable, Iterator

import torch
from captum.attr import LRP, InputXGradient, IntegratedGradients, Saliency
from captum.attr._core.lrp import SUPPORTED_LAYERS_WITH_RULES, SUPPORTED_NON_LINEAR_LAYERS
from captum.attr._utils.custom_modules import Addition_Module
from captum.attr._utils.lrp_rules import Alpha1_Beta0_Rule, EpsilonRule, IdentityRule
from jaxtyping import Float
from torch import Tensor, fx, nn

from experiments.networks.forward import device_of, logits
from experiments.networks.timm import Normalise
from modelgif_core import Paths, fold_batchnorm
from modelgif_core.readout import Readout
from modelgif_core.view import View

Maps = Float[Tensor, "paths 1 dims"]
"""Fields of a single step."""
WEIGHTED = (nn.Conv2d, nn.Linear)
SHAPING = (nn.Flatten, nn.Identity)
ADDITIONS = (operator.add, operator.iadd, torch.add)


def integrated_gradients(model: nn.Module, paths: Paths, *, steps: int, readout: Readout, view: View) -> Maps:
    """Integrated gradients from each path's start to its end, by Gauss-Legendre quadrature.

    They should add up to the change of the followed output (completeness). Gradients of ReLU networks jump along the
    path, where no rule is exact: 16 steps miss by up to 2 logits on networks of this suite, 50 by less.
    """

    def explain(part: Paths, weights: Tensor) -> Tensor:
        return IntegratedGradients(_Followed(model), multiply_by_inputs=True).attribute(
            part.ends.to(weights.device),
            baselines=part.starts.contiguous().to(weights.device),
            additional_forward_args=weights,
            n_steps=steps,
            method="gausslegendre",
            internal_batch_size=_batch_size(paths),
        )

    return _maps(explain, model, paths, readout, view)


def gradient_x_input(model: nn.Module, paths: Paths, *, readout: Readout, view: View) -> Maps:
    """Gradient at each path's end times the input there."""

    def explain(part: Paths, weights: Tensor) -> Tensor:
        ends = part.ends.to(weights.device, copy=True).requires_grad_()
        return InputXGradient(_Followed(model)).attribute(ends, additional_forward_args=weights)

    return _maps(explain, model, paths, readout, view)


def saliency(model: nn.Module, paths: Paths, *, readout: Readout, view: View) -> Maps:
    """Absolute gradient at each path's end; the view sees absolute values.

    Never negative, so that unrelated models' maps have a large cosine too.
    """

    def explain(part: Paths, weights: Tensor) -> Tensor:
        ends = part.ends.to(weights.device, copy=True).requires_grad_()
        return Saliency(_Followed(model)).attribute(ends, abs=True, additional_forward_args=weights)

    return _maps(explain, model, paths, readout, view)


def lrp(model: nn.Module, paths: Paths, *, readout: Readout, view: View) -> Maps:
    """LRP with the z+ rule at each path's end; relevance sums to the followed output, but for what is said below.

    Relevance flows along positive weights only (alpha 1, beta 0, no biases: the z+ rule of Montavon et al., 2017),
    because the epsilon rule in ReLU networks is gradient x input (Ancona et al., 2018) and the gamma rule divides by
    sums that may vanish. The z+ rule loses relevance only at a unit without any positive contribution. Layers whose
    inputs may be negative (behind a standardisation, or a layer without ReLU) take the epsilon rule, whose biases
    absorb relevance. BatchNorm is folded into the convolution before it, and residual additions become modules.

    Raises:
        ValueError: if the model has a part that no rule covers, named in the message.
    """
    network = _relevance_network(model, paths.ends[:1])

    def explain(part: Paths, weights: Tensor) -> Tensor:
        _attach_rules(network)  # captum removes them after use
        ends = part.ends.to(weights.device, copy=True).requires_grad_()
        return LRP(nn.Sequential(network, _Sum(weights))).attribute(ends)

    return _maps(explain, model, paths, readout, view)


class _Followed(nn.Module):
    """A model whose output is the scalar that a readout follows."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Tensor, weights: Tensor) -> Tensor:
        # The copy lets a model's first layer work in place, which a leaf would refuse.
        return (self.model(inputs.clone()) * weights).flatten(1).sum(1)


class _Sum(nn.Module):
    """The readout's scalar as a last layer: every output gets its own share as relevance."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.weights, self.rule = weights, EpsilonRule()

    def forward(self, outputs: Tensor) -> Tensor:
        return (outputs * self.weights).flatten(1).sum(1)


def _maps(
    explain: Callable[[Paths, Tensor], Tensor], model: nn.Module, paths: Paths, readout: Readout, view: View
) -> Maps:
    device = device_of(model, paths.ends)
    maps = []
    for part in paths.split(_batch_size(paths)):
        labels = None if part.labels is None else part.labels.to(device)
        weights = readout(logits(model, part.ends), labels)
        maps.append(view(explain(part, weights).detach().float()))
    return torch.cat(maps)[:, None]


def _batch_size(paths: Paths) -> int:
    """Inputs of about two million values together."""
    return max(1, min(256, 2**21 // paths.ends[0].numel()))


def _relevance_network(model: nn.Module, example: Tensor) -> fx.GraphModule:
    """A copy that captum can follow: no BatchNorm behind convolutions, nothing in place, additions as modules."""
    like = next(model.parameters(), example)
    copied = copy.deepcopy(fold_batchnorm(model.eval(), example.to(like)))
    copied._forward_pre_hooks.clear()  # tracing would run them on no tensor
    tracer = fx.Tracer()
    torch_leaf = tracer.is_leaf_module
    tracer.is_leaf_module = lambda module, name: isinstance(module, Normalise) or torch_leaf(module, name)
    root = nn.Sequential(copied)
    try:
        graph = tracer.trace(root)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"LRP cannot follow the forward pass of {type(model).__name__}: {error}") from error
    for node in graph.nodes:
        if node.target in ADDITIONS and len(node.all_input_nodes) == 2 and not node.kwargs:
            root.add_module(node.name, Addition_Module())
            node.op, node.target = "call_module", node.name
    network = fx.GraphModule(root, graph)
    for module in network.modules():
        if hasattr(module, "inplace"):
            module.inplace = False
    for hook in model._forward_pre_hooks.values():
        network.register_forward_pre_hook(hook)  # who counts what the model is shown counts this, too
    return network


def _attach_rules(network: fx.GraphModule) -> None:
    """Give every layer its rule; captum has its own for pooling, additions and activations."""
    signed: set[fx.Node] = set()
    for node, module in _layers(network):
        negative = any(source in signed for source in node.all_input_nodes)
        if isinstance(module, WEIGHTED):
            module.rule = EpsilonRule() if negative else Alpha1_Beta0_Rule(set_bias_to_zero=True)
        elif isinstance(module, Normalise):
            module.rule = IdentityRule()
        elif isinstance(module, SHAPING):
            module.rule = EpsilonRule()
        if isinstance(module, (*WEIGHTED, Normalise)) or (negative and not isinstance(module, nn.ReLU)):
            signed.add(node)


def _layers(network: fx.GraphModule) -> Iterator[tuple[fx.Node, nn.Module | None]]:
    """Every step of the forward pass and its module, if it is one; refuses what no rule covers."""
    known = ({*SUPPORTED_LAYERS_WITH_RULES, *SUPPORTED_NON_LINEAR_LAYERS} - {nn.BatchNorm2d}) | {Normalise, *SHAPING}
    seen = set()
    for node in network.graph.nodes:
        module = network.get_submodule(node.target) if node.op == "call_module" else None
        if module is not None and type(module) not in known:
            raise ValueError(f"LRP has no rule for {type(module).__name__} ({node.target}); leave this method out")
        if node.op in ("call_function", "call_method") and node.target not in (torch.flatten, "flatten"):
            name = getattr(node.target, "__name__", node.target)
            raise ValueError(f"LRP has no rule for the function {name} in a forward pass; make it a module of torch.nn")
        if module is not None and type(module) not in SUPPORTED_NON_LINEAR_LAYERS:
            if node.target in seen:
                raise ValueError(f"LRP cannot follow {node.target}, which the forward pass uses more than once")
            seen.add(node.target)
        yield node, module
