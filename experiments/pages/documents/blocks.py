"""Documents with blocks to be filled, and what belongs into a block of which name."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd

from experiments.pages.documents import catalogue, headline, methods
from experiments.pages.section import grid, without_html
from experiments.storage.files import read, write

BLOCK = re.compile(r"<!-- table: (?P<name>\S+) -->\n(?P<body>.*?)<!-- end -->", flags=re.DOTALL)


def made(results: Path) -> dict[str, Callable[[], pd.DataFrame]]:
    """The tables that are made for documents, by the names of their blocks; `results` holds `recorded` and `tables`."""
    records, tables = results / "recorded", results / "tables"
    scores = {f"scores/{one.testbed}": partial(headline.scores, one, tables) for one in headline.QUESTIONS}
    kinds = {f"methods/{kind}": partial(methods.table, kind, records) for kind in methods.KINDS}
    answers = {f"answers/{name}": partial(headline.answers, name, tables) for name in headline.STRONGER}
    return scores | kinds | answers | {
        "headline": partial(headline.headline, tables),
        "experiments": partial(catalogue.table, results),
    }  # fmt: skip


def documents(root: Path) -> list[Path]:
    """The texts of the project that may have blocks, those that are there."""
    texts = [root / name / "README.md" for name in (".", "results", "results/published")]
    files = [*texts, *sorted((root / "docs").rglob("*.md"))]
    return [file for file in files if file.exists()]


def fill(file: Path, results: Path) -> bool:
    """Make the blocks of a document anew; returns whether that changed it."""
    text = read(file).decode()
    after = filled(text, results)
    if after != text:
        write(file, after.encode())
    return after != text


def filled(text: str, results: Path) -> str:
    """The text with each block replaced by its table, or by the experiment's page of that name; others stay."""

    def block(match: re.Match[str]) -> str:
        content = _content(match["name"], results) or match["body"].strip()
        return f"<!-- table: {match['name']} -->\n{content}\n<!-- end -->"

    return BLOCK.sub(block, text)


def narrow(table: pd.DataFrame) -> str:
    """The table in Markdown, without the spaces that align its columns.

    >>> print(narrow(pd.DataFrame({"b": ["1", "long text"]}, index=["x", "y"])))
    | | b |
    |:---|:---|
    | x | 1 |
    | y | long text |
    """
    return re.sub(r" {2,}", " ", re.sub(r"-{2,}", "---", grid(table)))


def _content(name: str, results: Path) -> str:
    makers = made(results)
    if name in makers:
        return without_html(narrow(makers[name]()))
    page = results / "tables" / f"{name}.md"
    # Inside a document the page's title is a heading of a lower rank.
    return page.read_text().strip().replace("# ", "### ", 1) if page.exists() else ""
