"""What is known of a model before it is compared, and why two models cannot be."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn

from experiments.networks.forward import predictions
from experiments.networks.misfit import refuse_misfit
from experiments.storage.identity import described, digest, fingerprint
from modelgif_core.readout import centred_label, given_label, label_odds, predicted_class

OF_CLASSES = frozenset(readout.__name__ for readout in (predicted_class, given_label, centred_label, label_odds))
"""Names of the readouts that follow one of a model's classes."""

DEAD = (
    "no image is alive: one of the two does not depend on its input, gives no gradient (no_grad, detach, argmax), or "
    "depends on it so little that half precision loses it"
)
"""Why two models that could be compared have no distance."""


class Facts(NamedTuple):
    """One model."""

    outputs: str
    """The shape of what it answers to one image: `10` for ten classes, `8x4x4` for a feature map."""
    head: bool
    """Whether it has a linear layer, which reads features."""
    parameters: int
    make: str
    """Names the shapes of its weight tensors, but for how many outputs the last has: equal for one architecture."""
    layers: str
    """Names the names and shapes of its weight tensors: equal where layers correspond."""
    weights: str
    """Names the very numbers in them."""


def facts(model: nn.Module, name: str, example: Tensor) -> Facts:
    """What is known of a model that is shown one image (1, colours, height, width).

    Raises:
        ValueError: if the image does not fit it; names the model.
    """
    refuse_misfit(model, name, example)
    answer = predictions(model, example)
    if answer.ndim == 2 and answer.shape[1] > 1 and answer.min() >= 0 and abs(float(answer.sum()) - 1) < 1e-3:
        raise ValueError(
            f"{name} answers with probabilities, where logits are compared; leave out its softmax, or hand over a "
            "module that takes their logarithm"
        )
    shape = answer.shape[1:]
    layers = [(key, [*part.shape]) for key, part in model.named_parameters() if part.ndim >= 2]
    shapes = [shape for _, shape in layers]  # the names tell wrappers, not architectures, apart
    return Facts(
        outputs="x".join(map(str, shape)) or "1",
        head=any(isinstance(module, nn.Linear) for module in model.modules()),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        make=digest([*shapes[:-1], *(shape[1:] for shape in shapes[-1:])]),
        layers=digest(layers),
        weights=digest([[key, fingerprint(values)] for key, values in model.state_dict().items()]),
    )


def followed(represent: Any) -> str:
    """The name of the readout that a method follows, by its representation or the configuration of that; "" for none.

    >>> from functools import partial
    >>> from modelgif_core import extract_field
    >>> followed(partial(extract_field, readout=predicted_class))
    'predicted_class'
    """
    settings = represent if isinstance(represent, Mapping) else getattr(represent, "keywords", {})
    if readout := settings.get("readout"):
        name = described(readout)
        return name if isinstance(name, str) else name[0]
    return followed(settings["represent"]) if "represent" in settings else ""


def why_not(first: Facts, second: Facts, *, needs: Collection[str], access: str, readout: str = "") -> str:
    """Why a method with these needs and this access that follows this readout cannot compare two models.

    Empty if it can.

    >>> ten, two = (Facts(classes, True, 9, "", "", "") for classes in ("10", "2"))
    >>> why_not(ten, two, needs=["classifiers", "equal_classes"], access="label")
    '10 and 2 classes'
    >>> why_not(ten, two, needs=["classifiers"], access="logit")
    ''
    """
    for facts in (first, second):
        if "x" in facts.outputs and readout in OF_CLASSES:
            return f"answers of {facts.outputs} are no classes, which {readout} follows; channel_peaks takes them"
        if {"classifiers", "equal_classes"} & set(needs):
            if "x" in facts.outputs:
                return f"answers of {facts.outputs} are no classes"
            if facts.outputs == "1":  # whose largest is always the same, and whose softmax is always 1
                return "one output is no set of classes"
        if not facts.head and "heads" in needs:
            return "no linear layer"
    if first.outputs != second.outputs and "equal_classes" in needs:
        return f"{first.outputs} and {second.outputs} classes"
    return "weights of other names or shapes" if access == "weights" and first.layers != second.layers else ""
