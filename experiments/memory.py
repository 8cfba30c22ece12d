"""Memory: how far a piece of work makes it rise, and what becomes of memory that is freed."""

import ctypes
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch

CPU = torch.device("cpu")
MARK, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # glibc's names for what `mallopt` sets


def rise(device: torch.device = CPU) -> Callable[[], float | None]:
    """Begins to watch; what comes back tells the most memory (GB) held since, above what was held at the beginning.

    It is CUDA's memory on such a device, and else the process's, where the system has a high-water mark that can be
    set anew (Linux); None where it cannot be known. Of two watches at a time the first knows only what the second sees.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        held = torch.cuda.memory_allocated(device)
        return lambda: (torch.cuda.max_memory_allocated(device) - held) / 1e9
    if device.type != "cpu":
        return lambda: None
    return_freed_memory()
    try:
        MARK.write_text("5")
        before = _status("VmRSS")
    except OSError:
        return lambda: None
    return lambda: max(0.0, _status("VmHWM") - before)


def held() -> float:
    """Main memory (GB) that the process holds now, without what it has freed; NaN where it cannot be known."""
    return_freed_memory()
    return _status("VmRSS") if STATUS.exists() else float("nan")


def reuse_freed_memory() -> None:
    """Let glibc serve a batch from what the last one freed: else it fetches, and clears, new pages for every one."""
    with suppress(AttributeError, OSError, TypeError):  # another C library
        library = ctypes.CDLL(None)
        library.mallopt(MMAP_THRESHOLD, 2**25)
        library.mallopt(TRIM_THRESHOLD, 2**30)


def return_freed_memory() -> None:
    """Give back to the system what glibc keeps of freed fields, which would else grow with every chunk."""
    with suppress(AttributeError, OSError, TypeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def _status(entry: str) -> float:
    """GB in an entry of Linux's account of this process, which counts in kibibytes."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{entry}:"))
    return int(line.split()[1]) * 1024 / 1e9
