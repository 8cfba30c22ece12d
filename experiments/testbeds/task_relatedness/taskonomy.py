"""The published encoders of Taskonomy (Zamir et al., CVPR 2018) that Song et al. (2023) compare, one for each task.

The weights are the files of Sax et al. ("Mid-Level Visual Representations", CoRL 2019), whose names carry their
SHA-256. The network is built here, of torchvision's bottlenecks under the published keys, so that nobody needs the
package `visualpriors`: its class refuses `train()`, and draws weights only to overwrite them. A test holds the two
equal where the package is installed.
"""

import re
from collections import OrderedDict
from collections.abc import Collection, Mapping
from functools import partial
from http.client import HTTPException
from pathlib import Path

import torch
from torch import nn
from torch.hub import download_url_to_file

from experiments.interfaces import Zoo, ZooModel
from experiments.networks.timm import Normalise
from experiments.storage.files import make_once
from experiments.storage.foreign import fill, read_checkpoint

NAME = re.compile(r"(\w+)_encoder-([0-9a-f]{8,64})\.pth")
"""Task, and the beginning of the file's SHA-256."""
BLOCKS = ((64, 3, True), (128, 4, True), (256, 6, False), (512, 3, False))
"""Width, number of bottlenecks and whether the resolution is halved, stage by stage."""


def taskonomy(*, root: str, url: str, files: Mapping[str, str], normalised: Collection[str] = ()) -> Zoo:
    """One encoder a task: images (n, 3, height, width) in [0, 1] to features (n, 8, height / 16, width / 16).

    Args:
        root: folder of the published files; what lacks is fetched into it.
        url: where the files are published.
        files: task -> name of its file, `<task>_encoder-<SHA-256>.pth`.
        normalised: tasks whose feature maps are standardised, channel by channel and image by image.

    Raises:
        ValueError: if a file's name says another task or no SHA-256, or `normalised` holds a task without a file.
    """
    for task, name in files.items():
        match = NAME.fullmatch(name)
        if not match or match[1] != task:
            raise ValueError(f"the file of {task} must be called {task}_encoder-<SHA-256>.pth, not {name!r}")
    strangers = sorted(set(normalised) - set(files))
    if strangers:
        raise ValueError(f"normalised holds {', '.join(strangers)}; the tasks are {', '.join(files)}")
    folder = Path(root)
    return {
        task: ZooModel(
            task,
            "encoder",
            "taskonomy_resnet50",
            load=partial(_load, folder / name, task in normalised),
            prepare=partial(_fetch, folder / name, url),
            ready=(folder / name).exists,
        )
        for task, name in files.items()
    }


def encoder(*, normalise: bool) -> nn.Sequential:
    """The network under the published keys, for images in [-1, 1], with fresh weights.

    A ResNet-50 that halves the resolution in the last, not the first, bottleneck of its first two stages and nowhere
    later, and ends in eight channels.
    """
    layers: dict[str, nn.Module] = {
        "conv1": nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False),
        "bn1": nn.BatchNorm2d(64),
        "relu": nn.ReLU(inplace=True),
        "maxpool": nn.MaxPool2d(3, stride=2, ceil_mode=True),
    }
    channels = 64
    for number, (width, blocks, halve) in enumerate(BLOCKS, start=1):
        layers[f"layer{number}"] = _stage(channels, width, blocks, halve=halve)
        channels = 4 * width
    layers["compress1"] = nn.Conv2d(channels, 8, 3, padding=1, bias=False)
    layers["compress_bn"] = nn.BatchNorm2d(8)
    layers["relu1"] = nn.ReLU(inplace=True)
    if normalise:
        layers["groupnorm"] = nn.GroupNorm(8, 8, affine=False)
    return nn.Sequential(OrderedDict(layers))


def _stage(channels: int, width: int, blocks: int, *, halve: bool) -> nn.Sequential:
    from torchvision.models.resnet import Bottleneck  # only here: it takes seconds, and composing a zoo needs none

    widen = nn.Sequential(nn.Conv2d(channels, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width))
    middle = [Bottleneck(4 * width, width) for _ in range(blocks - 2)]
    last = Bottleneck(4 * width, width, 2, nn.MaxPool2d(1, 2)) if halve else Bottleneck(4 * width, width)
    return nn.Sequential(Bottleneck(channels, width, downsample=widen), *middle, last)


def _load(file: Path, normalise: bool) -> nn.Module:
    command = "python -m experiments.prepare testbed=task_relatedness testbed/zoo=taskonomy"
    weights = read_checkpoint(file, source=f"put it there by hand, or fetch it: {command}")
    with torch.device("meta"):  # no weights are drawn that the file's replace at once
        network = encoder(normalise=normalise)
    fill(network, weights, file=file, what="a Taskonomy encoder")
    model = nn.Sequential(Normalise(0.5, 0.5), network).eval().requires_grad_(False)
    # On CPUs a sixth faster with the channels last.
    return model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def _fetch(file: Path, url: str) -> None:
    """Put the published file into its folder, whole and verified, unless it lies there."""
    make_once(file, partial(_download, file, url))


def _download(file: Path, url: str) -> None:
    for left in file.parent.glob(f"{file.name}.*.partial"):
        left.unlink()  # of a fetch that was killed; while the lock is held there is no other
    try:
        promised = file.stem.rsplit("-", 1)[1]
        download_url_to_file(f"{url}/{file.name}", str(file), hash_prefix=promised, progress=False)
    except (OSError, HTTPException, RuntimeError, ValueError) as error:  # a wrong SHA-256 is a RuntimeError
        raise OSError(
            f"cannot fetch {file.name} from {url} ({error or type(error).__name__}); "
            f"put it into {file.parent.absolute()} by hand"
        ) from error
