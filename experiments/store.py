"""Files that are either whole or not there: atomic writes, locks between processes, verified weights."""

import hashlib
import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from filelock import FileLock
from safetensors import SafetensorError
from torch import Tensor


def write(path: Path, content: bytes) -> None:
    """Put content at path in one step: a reader, or a run after a crash, finds all of it or nothing.

    Raises:
        OSError: if the folder cannot be written or the disk is full; nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise OSError(
            f"cannot write {path}: {error.strerror or error}; free some space or choose another folder"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def lock(path: Path) -> FileLock:
    """A lock named after path; one process at a time works on it, and a killed one lets go."""
    folder = path.parent / ".locks"
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / f"{path.name}.lock")


def digest(content: Any) -> str:
    """Twelve hexadecimal digits that name JSON-like content.

    >>> digest({"b": 1, "a": [2, 3]}) == digest({"a": (2, 3), "b": 1})
    True
    """
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


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
    try:
        content = path.read_bytes()
        weights = safetensors.torch.load(content)
        if _checksum(weights) == _header(content)["sha256"]:
            return weights
    except (SafetensorError, ValueError, KeyError, struct.error):
        pass
    raise ValueError(f"{path} is damaged (its checksum does not match); delete it and run again: it is made anew")


def load_facts(path: Path) -> dict[str, Any]:
    """The facts beside the weights, read from the file's header alone."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        return json.loads(json.loads(file.read(length))["__metadata__"]["facts"])


def _header(content: bytes) -> dict[str, str]:
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length])["__metadata__"]


def _checksum(weights: Mapping[str, Tensor]) -> str:
    total = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].cpu()
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        total.update(tensor.contiguous().numpy().tobytes())
    return total.hexdigest()
