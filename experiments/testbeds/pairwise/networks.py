"""Networks by a line of text, each with its own resizing and normalisation inside: all are shown the same pixels.

`timm:<name>` and `torchvision:<name>` have fresh weights, which a seed draws: nothing is fetched.
`pretrained@timm:<name>` and `pretrained@torchvision:<name>` fetch published ones, as does `hf:<organisation>/<name>`, a
timm network on the Hugging Face hub. `<file>@<network>` puts the tensors of a file into a network.
`<package.module>:<factory>` calls a function of one's own, which returns a torch module.
"""

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from experiments.networks.timm import Normalise
from experiments.storage import foreign
from experiments.storage.identity import file_content
from modelgif_core.copied import copied
from modelgif_core.prepared import computes_in

FORMS = (
    "timm:<name>",
    "torchvision:<name>",
    "hf:<organisation>/<name>",
    "<package.module>:<factory>",
    "pretrained@<timm or torchvision network>",
    "<file>.safetensors@<network>",
)
PRETRAINED = "pretrained"
IMAGENET = {"input_size": (3, 224, 224), "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
"""What a torchvision network takes of which no weights are published."""


class Spec(NamedTuple):
    """One line of text, read: where the weights are from (None: fresh), where the network is from, and its name."""

    weights: str | None
    scheme: str
    name: str


class Shown(nn.Module):
    """A network that takes images of any size in [0, 1]: resized to its own size, in its colours, normalised."""

    def __init__(self, network: nn.Module, takes: dict[str, Any]) -> None:
        super().__init__()
        self.colours, *self.size = takes["input_size"]
        self.normalise = Normalise(takes["mean"], takes["std"])
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Images (n, colours, height, width) in [0, 1] to the network's outputs; differentiable, as resizing is."""
        if images.shape[2:] != torch.Size(self.size):
            images = interpolate(images, size=self.size, mode="bilinear", antialias=True)
        if images.shape[1] != self.colours:
            images = images.mean(1, keepdim=True).expand(-1, self.colours, -1, -1)
        return self.network(self.normalise(images))


def read(text: str) -> Spec:
    """A line of text as what it names; nothing is opened, but that it is there is looked up.

    Raises:
        ValueError: if it is of no known form, or names a network that is unknown.
        FileNotFoundError: if the file of weights is missing.

    >>> read("mine.safetensors@timm:resnet18")
    Traceback (most recent call last):
    ...
    FileNotFoundError: mine.safetensors is missing; mine.safetensors@timm:resnet18 takes its weights from it
    """
    weights, _, network = text.rpartition("@")
    scheme, _, name = network.partition(":")
    if not scheme or not name or text.startswith("@"):
        raise ValueError(f"{text!r} names no model; the forms are {', '.join(FORMS)}")
    if scheme in ("timm", "torchvision"):
        known = _known(scheme)
        if name not in known:
            near = get_close_matches(name, known, n=3)
            raise ValueError(
                f"{scheme} has no network {name!r}; "
                + (f"did you mean {', '.join(near)}?" if near else f"it has {len(known)}, such as {known[0]}")
            )
    elif weights == PRETRAINED:
        raise ValueError(f"{text}: only networks of timm and torchvision have pretrained weights to fetch")
    elif scheme != "hf":
        _factory(scheme, name)
    if weights and weights != PRETRAINED and not Path(weights).is_file():
        raise FileNotFoundError(f"{weights} is missing; {text} takes its weights from it")
    return Spec(weights or None, scheme, name)


def load(text: str, seed: int) -> nn.Module:
    """The model in eval mode, on the CPU; its fresh weights depend on the seed and on nothing else.

    Raises:
        ValueError: as `read`; or if weights cannot be fetched or do not fit, or a factory returns no module.
        FileNotFoundError: as `read`.
    """
    spec = read(text)
    network, takes = _built(spec, seed)
    if spec.weights and spec.weights != PRETRAINED:
        file = Path(spec.weights)
        weights = _tensors(file)
        if spec.scheme in _LIBRARIES:
            last, own = list(network.state_dict().items())[-1]  # the head's bias, as networks are written
            given = weights.get(last, own)
            if given.ndim and own.ndim and len(given) != len(own):
                network, takes = _built(spec, seed, num_classes=len(given))
        foreign.fill(network, weights, file=file, what=f"the weights of {spec.scheme}:{spec.name}")
    return (network if takes is None else Shown(network, takes)).eval()


def shown(network: nn.Module) -> nn.Module:
    """A copy of a module that takes images in [0, 1]: as it is, or as its `pretrained_cfg` says if it has one."""
    takes, own = getattr(network, "pretrained_cfg", None) or {}, copied(network)
    if not {"input_size", "mean", "std"} <= set(takes):
        return own
    return Shown(own, takes).to(computes_in(own, torch.zeros(())).dtype).eval()


def architecture(text: str) -> str:
    """The network's name, without where its weights are from."""
    return text.rpartition("@")[2].partition(":")[2]


def content(text: str) -> str:
    """Names what is in the file of weights; empty without one."""
    weights = read(text).weights
    return "" if weights in (None, PRETRAINED) else file_content(Path(weights))


def _tensors(file: Path) -> Mapping[str, Tensor]:
    """The tensors in a file by their names, whether they are all of it or its entry `state_dict`."""
    found = foreign.opened(file, file.read_bytes())
    weights = found.get("state_dict", found) if isinstance(found, Mapping) else found
    if not isinstance(weights, Mapping):
        raise ValueError(
            f"{file} holds a {type(weights).__name__}, where tensors by their names are needed; save what a network's "
            "state_dict() gives"
        )
    for name, value in weights.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise ValueError(
                f"{file} holds a {type(value).__name__} under {name!r}, where a tensor is needed; save what a "
                "network's state_dict() gives, alone or as the entry 'state_dict'"
            )
    return {name.removeprefix("module."): value for name, value in weights.items()}  # as parallel training leaves it


def _built(spec: Spec, seed: int, **options: Any) -> tuple[nn.Module, dict[str, Any] | None]:
    """The network and what it takes (None: images as they are), its weights fresh unless they are published ones."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if spec.scheme in _LIBRARIES:
            return _LIBRARIES[spec.scheme](spec.name, spec.weights == PRETRAINED or spec.scheme == "hf", options)
        try:
            network = _factory(spec.scheme, spec.name)()
        except TypeError as error:
            if error.__traceback__ and error.__traceback__.tb_next:  # a mistake within the factory
                raise
            raise ValueError(f"{spec.scheme}:{spec.name} cannot be called without arguments: {error}") from error
    if not isinstance(network, nn.Module):
        raise ValueError(f"{spec.scheme}:{spec.name} must return a torch.nn.Module, not {type(network).__name__}")
    return network, getattr(network, "pretrained_cfg", None) or None


def _timm(name: str, pretrained: bool, options: dict[str, Any]) -> tuple[nn.Module, dict[str, Any]]:
    import timm  # only here: it takes seconds

    network = _fetched(f"timm's {name}", timm.create_model, name, pretrained=pretrained, **options)
    return network, network.pretrained_cfg


def _hub(name: str, pretrained: bool, options: dict[str, Any]) -> tuple[nn.Module, dict[str, Any]]:
    return _timm(f"hf-hub:{name}", pretrained, options)


def _torchvision(name: str, pretrained: bool, options: dict[str, Any]) -> tuple[nn.Module, dict[str, Any]]:
    from torchvision import models

    published = list(models.get_model_weights(name))
    weights = models.get_model_weights(name).DEFAULT if published else None  # pyright: ignore[reportAttributeAccessIssue]
    takes = IMAGENET
    if weights is not None:
        shown = weights.transforms()
        takes = {"input_size": (3, *2 * shown.crop_size), "mean": shown.mean, "std": shown.std}
    if pretrained and weights is None:
        raise ValueError(f"torchvision has no pretrained weights of {name}; take torchvision:{name} for fresh ones")
    return _fetched(
        f"torchvision's {name}", models.get_model, name, weights=weights if pretrained else None, **options
    ), takes


_LIBRARIES: dict[str, Callable[[str, bool, dict[str, Any]], tuple[nn.Module, dict[str, Any]]]] = {
    "timm": _timm,
    "torchvision": _torchvision,
    "hf": _hub,
}


def _fetched(what: str, make: Callable[..., nn.Module], name: str, **options: Any) -> nn.Module:
    try:
        return make(name, **options)
    except Exception as error:  # each library and each network refuses in its own way
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{what} cannot be built or fetched: {reason}") from error


def _known(library: str) -> Sequence[str]:
    if library == "timm":
        import timm

        return [
            *timm.list_models(),
            *timm.list_models(pretrained=True),
        ]  # the latter with tags, such as resnet18.a1_in1k
    from torchvision import models

    return models.list_models(module=models)


def _factory(module: str, name: str) -> Callable[[], Any]:
    if "/" in module or module.startswith(".") or module.endswith(".py"):
        raise ValueError(
            f"{module}:{name} names no model: {module!r} is a file, and a module that Python can import is needed, "
            "named by dots, such as my.package; put the file's folder into PYTHONPATH, and leave .py out"
        )
    try:
        found = import_module(module)
    except ImportError as error:
        raise ValueError(
            f"{module}:{name} names no model, and there is no module {module!r} ({error}); the forms are "
            f"{', '.join(FORMS)}; put a module's folder into PYTHONPATH"
        ) from error
    factory = getattr(found, name, None)
    if not callable(factory):
        raise ValueError(f"the module {module} has no function {name!r}")
    return factory
