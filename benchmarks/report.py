"""What every benchmark shares: the machine's name, peak memory of a piece of work, and the files that results go to."""

import json
import platform
import re
import shlex
from collections.abc import Callable, Sequence
from math import isfinite
from pathlib import Path
from time import perf_counter
from typing import Any

import pandas as pd
import torch

from experiments.memory import CPU, rise
from experiments.storage.files import write
from experiments.storage.record import commit

FOLDER = Path("results/benchmarks")


def folder() -> Path:
    """Where this machine's benchmarks are; another processor has a folder of its own beside it."""
    return FOLDER / slug(_processor())


def slug(processor: str) -> str:
    """A processor's name as a folder's.

    >>> slug("Intel(R) Xeon(R) Processor")
    'intel_xeon_processor'
    """
    return re.sub("[^a-z0-9]+", "_", re.sub(r"\((r|tm)\)", "", processor.lower())).strip("_")


def machine() -> dict[str, Any]:
    """What a number of seconds belongs to: processor, threads, versions, commit."""
    return {
        "processor": _processor(),
        "system": f"{platform.system()} {platform.machine()}",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "commit": commit(),
    }


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """What the work returns, and its seconds."""
    began = perf_counter()
    return work(), perf_counter() - began


def memory_growth(work: Callable[[], Any], device: torch.device = CPU) -> float:
    """How far memory (GB) of the device rises during the work; NaN where it cannot be known."""
    risen = rise(device)
    work()
    found = risen()
    return float("nan") if found is None else found


def save(
    name: str,
    title: str,
    explanation: str,
    tables: dict[str, pd.DataFrame],
    settings: dict[str, Any],
    arguments: Sequence[str],
) -> str:
    """Write <name>.json and .md into this machine's folder; returns the page, which ends with the command."""
    where = machine()
    content = {
        "machine": where,
        "settings": settings,
        "tables": {heading: _rows(table) for heading, table in tables.items()},
    }
    lines = [f"# {title}", "", explanation, ""]
    for heading, table in tables.items():
        lines += [f"**{heading}**", "", table.to_markdown(floatfmt=".3g"), ""]
    shown = where["commit"][:12] + where["commit"][40:]  # and whether files differed from it
    command = shlex.join(["python", "-m", f"benchmarks.{name.partition('_')[0]}", *arguments])
    lines.append(
        f"{where['processor']}, {where['threads']} thread, torch {where['torch']}, commit {shown}. Made by `{command}`."
    )
    page = "\n".join(lines) + "\n"
    write(folder() / f"{name}.json", json.dumps(content, indent=1, default=float, allow_nan=False).encode())
    write(folder() / f"{name}.md", page.encode())
    return page


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """A table's rows as JSON-like content; a number that is not finite becomes null, for JSON knows no NaN."""
    rows = table.reset_index().to_dict("records")
    return [{str(k): v if not isinstance(v, float) or isfinite(v) else None for k, v in row.items()} for row in rows]


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    names = [line for line in file.read_text().splitlines() if line.startswith("model name")] if file.exists() else []
    return names[0].partition(":")[2].strip() if names else platform.processor() or "unknown processor"
