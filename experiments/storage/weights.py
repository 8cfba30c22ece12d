"""Trained weights as safetensors with their checksum and what is known about them in the header."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from experiments.storage.files import write


def save_weights(path: Path, weights: Mapping[str, Tensor], facts: dict[str, Any]) -> None:
    """Write weights as safetensors, with their checksum and JSON-like facts in the header."""
    weights = {name: tensor.detach().contiguous() for name, tensor in weights.items()}
    header = {"sha256": _checksum(weights), "facts": json.dumps(facts)}
    write(path, safetensors.torch.save(weights, metadata=header))


def load_weights(path: Path) -> dict[str, Tensor]:
    """Weights whose checksum was verified.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is truncated or its bytes have changed.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing")
    try:
        weights = safetensors.torch.load_file(path)
        if _checksum(weights) == _header(path)["sha256"]:
            return weights
    except (SafetensorError, KeyError):
        pass
    raise ValueError(f"{path} is damaged (its checksum does not match); delete it and run again: it is made anew")


def load_facts(path: Path) -> dict[str, Any]:
    """The facts beside the weights, read from the file's header alone."""
    return json.loads(_header(path)["facts"])


def _header(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return file.metadata() or {}


def _checksum(weights: Mapping[str, Tensor]) -> str:
    total = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].cpu()
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        total.update(tensor.contiguous().numpy().tobytes())
    return total.hexdigest()
