"""Checkpoints from elsewhere: safetensors, and pickles of tensors, read without running what is in them."""

import hashlib
import io
import re
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from experiments.commands.refusal import Mendable

DIGEST = re.compile(r"-(?=\d*[a-f])([0-9a-f]{8,64})\.\w+$")
"""How a published file's name ends: the beginning of its SHA-256. Digits alone are a date, or a number."""


def read_checkpoint(file: Path, *, source: str) -> Mapping[str, Tensor]:
    """The state dict in a published file, without the prefix that parallel training leaves.

    Args:
        file: its SHA-256 must begin as the name says, if the name says any.
        source: what to do, or where to look, for whoever lacks the file or has a damaged one.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged, or holds something else than a state dict of tensors.
    """
    if not file.is_file():
        raise FileNotFoundError(f"{file} is missing; {source}")
    content = file.read_bytes()
    promised = DIGEST.search(file.name)
    if promised and not hashlib.sha256(content).hexdigest().startswith(promised[1]):
        raise Mendable(
            f"{file} is damaged (its SHA-256 does not begin as its name ends); delete it, or rename it if that is no "
            f"SHA-256; {source}"
        )
    checkpoint = opened(file, content)
    weights = checkpoint.get("state_dict") if isinstance(checkpoint, Mapping) else None
    if not isinstance(weights, Mapping):
        raise Mendable(f"{file} holds no checkpoint: it has no entry 'state_dict'")
    return OrderedDict((str(key).removeprefix("module."), value) for key, value in weights.items())


def opened(file: Path, content: bytes) -> Any:
    """What is in a file, read before: safetensors by its name's ending, else a pickle, of which tensors alone are read.

    Raises:
        ValueError: if it is damaged, or holds something else than tensors.
    """
    try:
        if file.suffix == ".safetensors":
            return safetensors.torch.load(content)
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged file happens to raise
        raise Mendable(
            f"{file} is damaged or holds something else than tensors, which is not opened; save what a network's "
            "state_dict() gives"
        ) from error


def fill(network: nn.Module, weights: Mapping[str, Tensor], *, file: Path, what: str, hint: str = "") -> None:
    """Put published weights, all of them and no others, into a network; its own tensors make way.

    Raises:
        ValueError: if they do not fit; names the file, what it should hold and the first misfit.
    """
    try:
        missing, unknown = network.load_state_dict(weights, strict=False, assign=True)
        problems = [f"{key} is missing" for key in missing] + [f"{key} is unknown" for key in unknown]
    except RuntimeError as error:
        problems = [line.strip() for line in str(error).splitlines()[1:]]
    if problems:
        raise Mendable(f"{file} does not hold {what}: {problems[0]} ({len(problems)} such entries){hint}")
