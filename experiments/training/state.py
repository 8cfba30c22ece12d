"""The state of a long training as a file, so that it goes on where it was killed."""

import hashlib
import io
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from experiments.commands.refusal import Mendable
from experiments.storage.files import read, write

SPARED = 10.0
"""Seconds of work that a crash may cost: a younger file is left, since writing takes as long as a short epoch."""


class Stateful(Protocol):
    """What says and takes back where it stands: a model, an optimiser, a schedule."""

    def state_dict(self) -> Mapping[str, Any]:
        """Where it stands."""
        ...

    def load_state_dict(self, state: Any, /) -> Any:
        """Stand there again."""
        ...


def keep(file: Path, settings: Mapping[str, Any], epoch: int, parts: Mapping[str, Stateful]) -> None:
    """Write where a training stands after an epoch, with the numbers that it was started with, if that is due."""
    if file.exists() and time.time() - file.stat().st_mtime < SPARED:
        return
    buffer = io.BytesIO()
    states = {name: part.state_dict() for name, part in parts.items()}
    torch.save({"settings": dict(settings), "epoch": epoch, **states}, buffer)
    # torch.load does not notice a changed bit.
    write(file, hashlib.sha256(buffer.getvalue()).digest() + buffer.getvalue())


def resume(file: Path, settings: Mapping[str, Any], parts: Mapping[str, Stateful]) -> int:
    """Put back what `keep` wrote; returns how many epochs are done.

    Raises:
        ValueError: if the file is damaged, holds something else than tensors, or is of a training with other numbers
            or another model.
        OSError: if it cannot be read.
    """
    content = read(file)
    promised, content = content[:32], content[32:]
    if hashlib.sha256(content).digest() != promised:
        raise Mendable(f"{file} is damaged (its checksum does not match); delete it: the training begins anew")
    try:
        kept = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        missing = {"settings", "epoch", *parts} - set(kept)
    except Exception as error:  # whatever a forged pickle happens to raise
        raise Mendable(
            f"{file} holds something else than the state of a training, which is not opened; delete it: the training "
            "begins anew"
        ) from error
    if missing:
        raise Mendable(f"{file} lacks {', '.join(sorted(missing))}; delete it: the training begins anew")
    for name, value in settings.items():
        if kept["settings"].get(name) != value:
            raise Mendable(
                f"{file} is of a training with {name} {kept['settings'].get(name)}, not {value}; "
                "delete it, or take back the change"
            )
    for name, part in parts.items():
        try:
            part.load_state_dict(kept[name])
        except RuntimeError as error:
            assert isinstance(part, nn.Module)
            reason = str(error).splitlines()[1].strip()
            raise Mendable(f"{file} is of another model ({reason}); delete it, or take back the change") from error
    return kept["epoch"]
