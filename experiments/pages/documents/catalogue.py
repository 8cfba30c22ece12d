"""What experiments there are: what each makes, what it took when it was recorded, and what it asks for."""

import re
from pathlib import Path

import pandas as pd

from experiments.pages import sweep
from experiments.pages.section import NOTHING
from experiments.pages.standing import SCALES
from experiments.storage import configuration


def table(results: Path) -> pd.DataFrame:
    """Every experiment that has a page, by scale; `results` holds `recorded` and `tables`."""
    names = sorted(configuration.names("page"), key=lambda name: (SCALES.index(sweep.page(name)["scale"]), name))
    return pd.DataFrame.from_dict({f"`{name}`": row(name, results) for name in names}, orient="index")


def row(name: str, results: Path) -> dict[str, str]:
    """One experiment: its page, what that says of runs and seconds, memory by its records, and the data it needs."""
    page = sweep.page(name)
    file = results / "tables" / f"{page['file']}.md"
    text = file.read_text() if file.exists() else ""
    said = re.search(r"^(\d+ of \d+) runs of .*; (\d+) s of measuring", text, flags=re.MULTILINE)
    memory = _memory(name, results / "recorded")
    return {
        "Scale": page["scale"],
        "Makes": f"[{page['title']}](../results/tables/{file.name})" if said else page["title"],
        "Runs recorded": said[1] if said else NOTHING,
        "Minutes": f"{int(said[2]) / 60:.0f}" if said else NOTHING,
        "Memory, GB": f"{memory:.1f}" if memory else NOTHING,
        "Data": "; ".join(f"`{key}`: {content}" for key, content in (page.get("needs") or {}).items()) or "none",
    }


def _memory(name: str, records: Path) -> float:
    """The most gigabytes that one of the experiment's recorded runs has held; 0 if nothing is known."""
    runs = sweep.experiment(name, records).done
    return max(((run.record or {})["metrics"].get("cost/peak_memory_gb", 0.0) for run in runs), default=0.0)
