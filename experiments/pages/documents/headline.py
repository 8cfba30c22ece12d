"""One number a method and scale for each testbed's question, with what the method needs: tables that fit a screen.

They are read from the recorded pages, whose every number comes from records; these say what is best, too, since a
page's two digits make many methods equal.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import dropwhile, takewhile
from pathlib import Path

import numpy as np
import pandas as pd

from experiments.pages import sweep
from experiments.pages.section import NOTHING, mean
from experiments.pages.tables import columns

PROTOCOL = "ModelGiF"
"""The label of the published protocol; those of its variations begin with it."""
PLUS = "ModelGiF+"
"""The label of the suite's own proposal."""
STRONGER = [
    *(f"stronger{testbed}{zoos}" for testbed in ("", "_tasks", "_unlearning") for zoos in ("", "_judged")),
    "stronger_mid",
]
"""The experiments that measure it."""
THE_TRUTH = "the truth"
"""What ceilings and controls need, which are no methods."""
RIVALS = 3
"""How many rivals the headline shows: the best of each access, from the best one on."""
SCALES = ("mini", "mid")


@dataclass(frozen=True)
class Question:
    """What a testbed asks; the `answer` of its experiments' pages is the metric that counts."""

    testbed: str
    title: str
    experiments: Mapping[str, str]
    """Scale -> the experiment that asks at this scale."""
    side: str | None = None
    """Of an experiment that goes across a setting: the value that counts."""
    null: str = "ModelGiF, untrained"
    """Label of the method whose score is owed to architecture alone."""
    control: str | None = None
    """Of the controls on the page: the one that a method has to beat."""
    readings: Mapping[str, str] | None = None
    """Other readings of the published protocol: title -> metric."""
    judged: Mapping[str, str] | None = None
    """Scale -> the experiment that measures ModelGiF+ on zoos that had no part in making it."""


QUESTIONS = (
    Question(
        testbed="ip_protection",
        title="IP protection",
        experiments={"mini": "ip_protection", "mid": "ip_protection_mid"},
        null="Untrained field (null)",
        judged={"mini": "stronger_judged", "mid": "stronger_mid"},
    ),
    Question(
        testbed="task_relatedness",
        title="Task relatedness",
        experiments={"mini": "task_relatedness"},
        side="own",
        control="Control: mean rank of the source",
        judged={"mini": "stronger_tasks_judged"},
    ),
    Question(
        testbed="unlearning",
        title="Unlearning",
        experiments={"mini": "unlearning", "mid": "unlearning_mid"},
        readings={"far from the reference": "auc/reference/all"},
        judged={"mini": "stronger_unlearning_judged"},
    ),
)


def scores(question: Question, tables: Path, metric: str | None = None) -> pd.DataFrame:
    """All methods of a testbed, the best at its first scale first: what each needs, and its score at every scale.

    Args:
        question: names testbed and experiments.
        tables: folder of the recorded pages.
        metric: another one than what the pages say is the answer.
    """
    shown = pd.DataFrame({"Needs": pd.Series(dtype=str)})
    for scale, name in question.experiments.items():
        page = sweep.page(name)
        found = first_table((tables / f"{page['file']}.md").read_text())
        key = metric or page["answer"]
        title = columns(page)[f"{key}@{question.side}" if page.get("across") else key]
        shown = shown.reindex(shown.index.union(found.index, sort=False))
        shown["Needs"] = shown["Needs"].fillna(needs(found))
        partly = found["Runs"].where(found["Runs"].map(unfinished), "")
        shown[f"{scale.capitalize()} scale"] = found[title] + partly.map(lambda runs: f" ({runs} runs)" if runs else "")
    first = next(iter(question.experiments.values()))
    return shown.loc[best_first(first, shown.iloc[:, 1], tables, metric, question.side)].fillna(NOTHING)


def best_first(
    name: str, cells: pd.Series, tables: Path, metric: str | None = None, side: str | None = None
) -> list[str]:
    """The rows of an experiment's cells, highest first, by the means of its records; by what cells say without these.

    Args:
        name: of the experiment.
        cells: of one column of its page, by row.
        tables: folder of the recorded pages, with that of the records beside it.
        metric: another one than the page's answer.
        side: of an experiment that goes across a setting.
    """
    found = sweep.experiment(name, tables.parent / "recorded")
    key, rows, side = metric or found.page["answer"], found.rows(), side if found.page.get("across") else None
    order = [(value(cell), mean(found.metrics(rows.get(row, []), side), key)) for row, cell in cells.items()]
    return list(pd.DataFrame(order, cells.index).sort_values([0, 1], ascending=False, kind="stable").index)


def headline(tables: Path) -> pd.DataFrame:
    """Of each testbed the published protocol, its best variation, the best rivals and the null."""
    parts = []
    for question in QUESTIONS:
        part = chosen(question, tables).rename_axis("Method").reset_index()
        place = f"docs/findings/{question.testbed}.md"
        part.index = pd.Index([f"[{question.title}]({place})", *[""] * (len(part) - 1)])
        parts.append(part)
    shown = ["Method", "Needs", *(f"{scale.capitalize()} scale" for scale in SCALES)]
    return pd.concat(parts).reindex(columns=shown).fillna(NOTHING)


def chosen(question: Question, tables: Path) -> pd.DataFrame:
    """The rows of the headline, named by what each is."""
    every = scores(question, tables)
    rows = {f"{PROTOCOL}, as published": every.loc[PROTOCOL]}
    for title, metric in (question.readings or {}).items():
        rows[f"The same, {title}"] = scores(question, tables, metric).loc[PROTOCOL]
    fair = every[(every["Needs"] != THE_TRUTH) & (every.index != question.null)]
    fair = fair[~fair.iloc[:, 1].str.endswith("runs)")]
    ours = fair.index.str.startswith(PROTOCOL)
    best = fair[ours & (fair.index != PROTOCOL)].iloc[0]
    rows[f"Best variation: {best.name}"] = best
    rows |= judged(question, tables)
    rivals = fair[~ours]
    for label, rival in rivals[~rivals["Needs"].str.split(" ").str[0].duplicated()][:RIVALS].iterrows():
        rows[str(label)] = rival
    for label in (question.control, question.null):
        if label:
            rows["Null: untrained networks" if label == question.null else label] = every.loc[label]
    return pd.DataFrame(rows).T.reindex(columns=every.columns)


def judged(question: Question, tables: Path) -> dict[str, pd.Series]:
    """ModelGiF+ and its best rival on zoos that were made after it; nothing if they have not been measured."""
    shown = pd.DataFrame({"Needs": pd.Series(dtype=str)})
    for scale, name in (question.judged or {}).items():
        page = sweep.page(name)
        if (tables / f"{page['file']}.md").exists():
            found = first_table((tables / f"{page['file']}.md").read_text())
            shown = shown.reindex(shown.index.union(found.index, sort=False))
            shown["Needs"] = shown["Needs"].fillna(needs(found))
            shown[f"{scale.capitalize()} scale"] = found[columns(page)[page["answer"]]]
    if shown.empty:
        return {}
    rivals = shown[~shown.index.str.startswith(PROTOCOL) & (shown["Needs"] != THE_TRUTH)]
    best = best_first(next(iter((question.judged or {}).values())), rivals.iloc[:, 1], tables)[0]
    shown = shown.fillna(NOTHING)
    return {f"{PLUS}, on zoos made after it": shown.loc[PLUS], f"{best}, its best rival there": shown.loc[best]}


def answers(name: str, tables: Path) -> pd.DataFrame:
    """One experiment's methods, best first: what each needs, its score, and what it costs; empty if not measured."""
    page = sweep.page(name)
    file = tables / f"{page['file']}.md"
    if not file.exists():
        return pd.DataFrame()
    found = first_table(file.read_text())
    found = found[needs(found) != THE_TRUTH]
    titles = [columns(page)[key] for key in (page["answer"], *page["beside"], "cost/gradient_per_model")]
    order = best_first(name, found[titles[0]], tables)
    return pd.DataFrame({"Needs": needs(found), **{title: found[title] for title in titles}}).loc[order]


def needs(page: pd.DataFrame) -> pd.Series:
    """What each method needs of a suspect, and whether other models choose its queries, by the rows of a page."""
    helped = page["Chooses with"] != "none" if "Chooses with" in page else pd.Series(False, index=page.index)
    return page["Access"] + np.where(helped & (page["Access"] != THE_TRUTH), " + own models", "")


def unfinished(runs: str) -> bool:
    """Whether a page's cell says that some runs are missing.

    >>> unfinished("2 of 5"), unfinished("5 of 5"), unfinished("")
    (True, False, False)
    """
    return bool(runs) and len(set(runs.split(" of "))) > 1


def value(cell: str) -> float:
    """The number in front of a cell's interval; NaN if there is none.

    >>> value("0.95 [0.88, 0.98]")
    0.95
    """
    found = re.match(r"-?[\d.]+", str(cell))
    return float(found[0]) if found else np.nan


def first_table(text: str) -> pd.DataFrame:
    """The first table of a page in Markdown, its cells as text.

    >>> first_table("words\\n\\n| | a |\\n|:---|:---|\\n| x | 1 |\\n")
       a
    x  1
    """
    lines = takewhile(lambda line: line.startswith("|"), dropwhile(lambda line: line[:1] != "|", text.splitlines()))
    head, _, *rows = ([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines)
    return pd.DataFrame([row[1:] for row in rows], columns=head[1:], index=[row[0] for row in rows])
