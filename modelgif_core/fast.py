"""Faster arithmetic than the model's own, and the proof, on each model, that its field stays what it was."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

PRECISIONS = {"bfloat16": torch.bfloat16, "float16": torch.float16, "tf32": None}


@dataclass(frozen=True)
class Fast:
    """How gradients may be taken faster: in lower precision, compiled, or both.

    `extract_field` follows every model's first path both ways and refuses the faster one if the field differs by more
    than `tolerance` (1 - cosine, mean over steps), so that no gain goes unproved.

    >>> Fast("float8")
    Traceback (most recent call last):
    ...
    ValueError: precision must be one of bfloat16, float16, tf32 or None, not 'float8'
    """

    precision: str | None = None
    """`bfloat16` or `float16` (autocast: products in it, sums in float32), `tf32` (NVIDIA, from Ampere on) or None."""
    mode: str | None = None
    """Of `torch.compile`, e.g. `default`, or `reduce-overhead` for CUDA graphs; None compiles nothing. Compiling takes
    about a minute a model, so it pays for large models and many paths only."""
    tolerance: float = 0.01
    """The most by which the field may change: 0 to 2."""

    def __post_init__(self) -> None:
        if self.precision is not None and self.precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)} or None, not {self.precision!r}")
        if not 0 <= self.tolerance <= 2:
            raise ValueError(f"tolerance must be from 0 to 2, not {self.tolerance}")

    def compiled(self, model: nn.Module) -> Any:
        """The model, compiled if asked for."""
        return model if self.mode is None else torch.compile(model, mode=self.mode)

    @contextmanager
    def arithmetic(self, device: torch.device) -> Iterator[None]:
        """The precision, inside; what it was before, afterwards."""
        before, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
        dtype = PRECISIONS.get(self.precision or "")
        lower = nullcontext() if dtype is None else torch.autocast(device.type, dtype)
        try:
            if self.precision == "tf32":
                torch.set_float32_matmul_precision("high")
                torch.backends.cudnn.allow_tf32 = True
            with lower:
                yield
        finally:
            torch.set_float32_matmul_precision(before)
            torch.backends.cudnn.allow_tf32 = convolutions
