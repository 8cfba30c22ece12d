"""Which arithmetic gradients are taken in: the model's own, in full, or a faster one that must keep the field."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, backends, nn

PRECISIONS = {"bfloat16": torch.bfloat16, "float16": torch.float16, "tf32": None}
NVIDIA: tuple[Any, ...] = (backends.cudnn.conv, backends.cudnn.rnn, backends.cuda.matmul)  # pyright: ignore
PROCESSOR: tuple[Any, ...] = (backends.mkldnn.conv, backends.mkldnn.rnn, backends.mkldnn.matmul)  # pyright: ignore


@dataclass(frozen=True)
class Fast:
    """How gradients may be taken faster: in lower precision, compiled, or both.

    Given to `prepared`. The first field that is extracted from a prepared model is followed both ways on its first path
    that is not dead, and refused if it differs by more than `tolerance` (1 - cosine, mean over steps), so that no gain
    goes unproved.

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
        if self.precision is None and self.mode is None:
            raise ValueError("Fast without a precision or a mode does nothing; name one, or leave it out")
        if not 0 <= self.tolerance <= 2:
            raise ValueError(f"tolerance must be from 0 to 2, not {self.tolerance}")

    def compiled(self, model: nn.Module) -> Any:
        """The model, compiled if asked for."""
        return model if self.mode is None else torch.compile(model, mode=self.mode)

    def refuse_misfit(self, like: Tensor) -> None:
        """Refuse a precision that would have no effect on a model computing in a tensor's device and precision.

        Raises:
            ValueError: if lower precision meets a model not in float32, or tf32 another device than NVIDIA's.
        """
        if self.precision is not None and like.dtype != torch.float32:
            raise ValueError(
                f"precision {self.precision} speeds up models in float32, not {like.dtype}; convert the model with "
                ".float(), or leave the precision out"
            )
        if self.precision == "tf32" and like.device.type != "cuda":
            raise ValueError(
                f"precision tf32 has no effect on {like.device.type}, only on cuda; take bfloat16, or leave it out"
            )

    @contextmanager
    def arithmetic(self, device: torch.device) -> Iterator[None]:
        """The precision, inside; what it was before, afterwards."""
        dtype = PRECISIONS.get(self.precision or "")
        lower = nullcontext() if dtype is None else torch.autocast(device.type, dtype)
        with float32_products("tf32" if self.precision == "tf32" else "ieee"), lower:
            yield


@contextmanager
def own_precision(device: torch.device) -> Iterator[None]:
    """A model's own precision, with all its digits, inside, whatever `torch.autocast` a caller is in."""
    known = torch.amp.is_autocast_available(device.type)
    with float32_products("ieee"), torch.autocast(device.type, enabled=False) if known else nullcontext():
        yield


@contextmanager
def float32_products(precision: str) -> Iterator[None]:
    """Products of float32 in `ieee` (all its digits) or `tf32` (ten bits, on NVIDIA) inside; as before, afterwards.

    Torch's own default is tf32 for NVIDIA's convolutions, and a program may have chosen less for everything.
    """
    before = [(place, place.fp32_precision) for place in (*NVIDIA, *PROCESSOR)]
    try:
        for place in NVIDIA:
            place.fp32_precision = precision
        for place in PROCESSOR:
            place.fp32_precision = "ieee"
        yield
    finally:
        for place, found in before:
            place.fp32_precision = found
