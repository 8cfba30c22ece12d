"""Trained weights as safetensors, with what is known about them, their name and checksums in the header."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from experiments.commands.refusal import Mendable
from experiments.storage.files import explained, write


def save_weights(path: Path, weights: Mapping[str, Tensor], facts: dict[str, Any]) -> None:
    """Write weights as safetensors; facts, which are JSON-like, go to the header, as do the file's name and checksums.

    One checksum covers the weights, another one the header, so that facts are verified without reading weights.
    """
    weights = {name: tensor.detach().contiguous() for name, tensor in weights.items()}
    header = {"name": path.name, "facts": json.dumps(facts), "weights": _checksum(weights)}
    write(path, safetensors.torch.save(weights, metadata=header | {"sha256": _seal(header)}))


def load_weights(path: Path) -> dict[str, Tensor]:
    """Weights whose checksum was verified.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is truncated, its bytes have changed, or it was written under another name.
        OSError: if it cannot be read.
    """
    header = _header(path)
    try:
        weights = safetensors.torch.load_file(path)
    except SafetensorError as error:
        raise _damaged(path) from error
    if _checksum(weights) != header["weights"]:
        raise _damaged(path)
    return weights


def load_facts(path: Path) -> dict[str, Any]:
    """The facts beside the weights, read from the file's header alone; raises as `load_weights` does."""
    return json.loads(_header(path)["facts"])


def checksum(path: Path) -> str:
    """Names the weights in a file, read from its header alone; raises as `load_weights` does."""
    return _header(path)["weights"]


def by_others(path: Path) -> bool:
    """Whether it is a sound file of tensors that the suite has not written."""
    try:
        with safe_open(path, framework="pt") as file:
            return "sha256" not in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def _header(path: Path) -> dict[str, str]:
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing; run again: it is made")
    try:
        with explained(f"cannot read {path}"), path.open("rb"), safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
    except SafetensorError as error:
        raise _damaged(path) from error
    if header.pop("sha256", None) != _seal(header):
        raise _damaged(path)
    if header["name"] != path.name:
        raise Mendable(
            f"{path} is not what its name says, but was written as {header['name']}; delete it and run again: "
            "it is made anew"
        )
    return header


def _damaged(path: Path) -> ValueError:
    return Mendable(f"{path} is damaged (its checksum does not match); delete it and run again: it is made anew")


def _seal(header: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()


def _checksum(weights: Mapping[str, Tensor]) -> str:
    total = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].cpu()
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        total.update(tensor.contiguous().numpy().tobytes())
    return total.hexdigest()
