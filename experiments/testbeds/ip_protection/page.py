"""Sections and pictures of experiments on IP protection, from their runs. A seed is a zoo with another victim."""

from collections.abc import Collection, Iterable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from experiments.pages import plots
from experiments.pages.section import NOTHING, decimal, mean, section
from experiments.pages.sweep import Experiment, Run
from experiments.statistics.intervals import Estimate, clustered_auc
from experiments.storage import record
from experiments.testbeds.ip_protection.copies import KINDS, accused, told_apart

NAMES = {
    "unrelated": "own images",
    "matched": "queries, true labels",
    "same_images": "victim's images",
    "elsewhere": "published",
}
"""What strangers of each kind learn from, or where they come from."""
GRADIENT = 3
"""Forward passes that a gradient counts for."""
OWNERS = {"": "", "_unseen": ", family unseen", "_holm": ", Holm", "_fdr": ", FDR"}
"""How an owner may judge."""
MORE = (
    " Family unseen: the same with no held-out model of the suspect's architecture, so in units of its task alone: "
    "what an owner may say of a suspect like none that it has trained. Holm, FDR: all suspects of a zoo are judged at "
    "once, so that any stranger at all is accused at most at that rate, for which there are too few held-out models, "
    "or that at most that share of the accused are strangers."
)


def auc_heat_map(found: Experiment, draw: Any = plots) -> Any:
    """The table's AUC columns as colours."""
    columns = {key: title for key, title in found.page["columns"].items() if key.startswith("auc/")}
    rows = {
        label: {title: mean(found.metrics(runs), key) for key, title in columns.items()}
        for label, runs in found.rows().items()
    }
    return draw.heat_map(pd.DataFrame.from_dict(rows, orient="index"), title=found.page["title"])


def cost_front(found: Experiment, draw: Any = plots) -> Any:
    """Pooled AUC of each method against what a suspect costs, in forward passes; None if nothing is measured."""
    points = {}
    for label, runs in found.rows().items():
        metrics = found.metrics(runs)
        asked = mean(metrics, "cost/forward_per_model") + GRADIENT * mean(metrics, "cost/gradient_per_model")
        if asked > 0 and (worth := mean(metrics, "auc/pooled")) == worth:
            points[label] = (asked, worth, runs[0].config["method"]["access"])
    return draw.front(points, x="forward passes for a suspect", y="AUC, one threshold over all") if points else None


def fidelity(found: Experiment) -> str:
    """What was copied: accuracy, fidelity and number of copies of each group, over all zoos."""
    zoos = [suspects(run) for run in one_a_zoo(found)]
    table, rows = pd.concat(zoos), {}
    for role, models in table.groupby("role", sort=False):
        judged = models["copy"].dropna()
        rows[plots.words([str(role)])[0]] = {
            "Accuracy": decimal(models["accuracy"].mean()),
            "Fidelity": decimal(models["fidelity"].mean()),
            "from": decimal(models["fidelity"].min()),
            "to": decimal(models["fidelity"].max()),
            "Divergence": f"{value:.3f}" if (value := models["divergence"].mean()) == value else NOTHING,
            "Copies": f"{int(judged.sum())} of {len(judged)}" if len(judged) else NOTHING,
        }
    return section(
        f"**Was anything copied?** On images that nobody trained on, over {len(zoos)} zoo{'s' * (len(zoos) > 1)}: "
        "accuracy on the model's own task; fidelity, the share of images with the victim's label; mean Jensen-Shannon "
        "divergence from the victim's probabilities, in bits. An extracted model is a copy if its fidelity exceeds the "
        "median of the strangers of its architecture that learnt from the attackers' queries with true labels; any "
        "other if it keeps 90 % of the accuracy that a clean run reaches on its task. Both rules look at answers, "
        "which favours methods that do, and the median is that of few strangers. AUCs are those of copies; models "
        "that are none have a table of their own, if there are any.",
        pd.DataFrame.from_dict(rows, orient="index"),
    )


def kinds(found: Experiment) -> str:
    """Pooled AUC of each method against each kind of strangers, zoos being clusters."""
    titles = {"All strangers": None} | {f"Strangers: {NAMES[kind]}": kind for kind in KINDS}
    extractions = found.runs[0].config["testbed"]["extractions"]
    scored = {label: [suspects(run) for run in runs if run.record] for label, runs in found.rows().items()}
    known = [suspects(run) for run in one_a_zoo(found)]
    for fact, near in (("fidelity", -1), ("accuracy", 1)):
        ranked = [table.assign(distance=near * table[fact]) for table in known]
        scored[f"({fact} alone)"] = [table.dropna(subset="distance") for table in ranked]
    rows = {}
    for label, tables in scored.items():
        if tables:
            told = partial(_over_zoos, tables, extractions)
            rows[label] = {title: told(kind=kind) for title, kind in titles.items()}
            rows[label]["Extracted: all strangers"] = told(which="extracted")
            rows[label]["Extracted: queries, true labels"] = told(kind="matched", which="extracted")
            rows[label]["Derived: victim's architecture"] = told(which="derived", alike=True)
    return section(
        "**Which strangers are hard?** AUC of copies of the victim's task under one threshold, against strangers by "
        "what they learnt from; mean over zoos with the 95 % interval of a bootstrap that draws zoos, then models, "
        "or of as many models without zoos where that is wider. "
        "Derived models, which share the victim's architecture, against strangers of that architecture alone: there "
        "the null, whose networks are untrained, has nothing to go by. Strangers with the attackers' queries and true "
        "labels are more accurate than the victim and its copies, which helps whoever looks where the victim errs: the "
        "last two rows are no methods, but what is known of the models, ranked (more like the victim, and less "
        "accurate, is nearer).",
        pd.DataFrame.from_dict(rows, orient="index").replace(NOTHING, None).dropna(axis=1, how="all").fillna(NOTHING),
    )


def calibrated(found: Experiment) -> str:
    """AUC raw and in units of held-out models' spread, and what would be accused at a stated rate of false alarms."""
    shown = found.page["columns"]
    columns = {
        f"auc{units}/{attack}": f"{shown[f'auc/{attack}']}, {title}"
        for attack in ("pooled", "extract_l", "extract_p", "extract_adv")
        for units, title in (("", "raw"), ("_by_task", "by task"), ("_by_architecture", "by architecture"))
        if f"auc/{attack}" in shown and (attack == "pooled" or units != "_by_task")
    }
    measured = {key for run in found.done for key in found.metrics([run])[0]}
    for percent in (5, 10):
        for owner, title in OWNERS.items():
            if not owner or f"alarms{owner}_at_{percent}/pooled" in measured:  # older records have but the first
                columns[f"found{owner}_at_{percent}/pooled"] = f"Copies accused at {percent} %{title}"
                columns[f"alarms{owner}_at_{percent}/pooled"] = f"Strangers accused at {percent} %{title}"
    rows = {
        label: {title: decimal(mean(found.metrics(runs), key)) for key, title in columns.items()}
        | {
            f"Accused at 5 %: {NAMES[kind]}": decimal(float(np.mean(told))) if told else NOTHING
            for kind in KINDS
            for told in [[one for run in runs if run.record for one in accused(suspects(run), kind, 0.05)]]
        }
        for label, runs in found.rows().items()
    }
    return section(
        "**What does knowing independent models help?** AUC of distances as they are, and in units of the spread of "
        "independent models that the owner trained on images of its own: (distance − mean) / standard deviation, over "
        "those of the suspect's task, which within one task changes nothing, or of its task and architecture, where at "
        "least four of them share both. Accused at a rate: models whose conformal p-value among the held-out ones is "
        "at most that; no suspect sets that threshold. Of strangers, at most that share should be, if they are like "
        "the held-out models; the last columns tell strangers by what they learnt from, and those with images of their "
        "own are like them." + (MORE if "alarms_unseen_at_5/pooled" in columns else ""),
        pd.DataFrame.from_dict(rows, orient="index").replace(NOTHING, None).dropna(axis=1, how="all").fillna(NOTHING),
    )


def not_copied(found: Experiment) -> str:
    """AUC of models that copied nothing, where chance is right; nothing if all are copies."""
    columns = {key: title for key, title in found.page["columns"].items() if key.startswith("auc/")}
    rows = {}
    for label, runs in found.rows().items():
        metrics = found.metrics(runs)
        rows[label] = {title: mean(metrics, key.replace("auc/", "auc_not_copied/")) for key, title in columns.items()}
    table = pd.DataFrame.from_dict(rows, orient="index").dropna(axis=1, how="all")
    if table.empty:
        return ""
    return section(
        "**No copies**: AUC of attacked models that are none. In students unlike their teacher there is nothing to "
        "find, so that chance, 0.5, is the right answer; what an attack has broken may still be told by its weights.",
        table.map(decimal),
    )


def fidelity_map(found: Experiment, draw: Any = plots) -> Any:
    """Fidelity of every model by group; what strangers reach is shaded. None if nothing is known of it."""
    table = pd.concat([suspects(run) for run in one_a_zoo(found)]).dropna(subset="fidelity")
    if table.empty:
        return None
    known = {str(role): models["fidelity"] for role, models in table.groupby("role", sort=False)}
    unrelated = [role for role in known if role.startswith(KINDS)]
    return draw.strips(known, apart=unrelated, label="fidelity: share of unseen images with the victim's label")


def by_queries(found: Experiment) -> str:
    """AUC of all extracted models, copies or not, by the number of queries and so by fidelity."""
    curves = _curves(found)
    rows = {
        f"{queries}": {"Fidelity": decimal(next(iter(curve.values()))[0])}
        | {label: f"{one.value:.2f} [{one.low:.2f}, {one.high:.2f}]" for label, (_, one) in curve.items()}
        for queries, curve in curves.items()
    }
    return section(
        "**AUC against fidelity**: all extracted models, copies or not, against all strangers of the victim's task; "
        "mean over zoos, with the 95 % interval of a bootstrap that draws zoos, then models, or of as many models "
        "without zoos where that is wider. Strangers that learn from the queries with true labels have as many as the "
        "students.",
        pd.DataFrame.from_dict(rows, orient="index").rename_axis("Queries"),
    )


def auc_by_fidelity(found: Experiment, draw: Any = plots) -> Any:
    """A line for each method: AUC of all extracted models against their mean fidelity."""
    curves = _curves(found)
    labels = list(dict.fromkeys(label for curve in curves.values() for label in curve))
    lines = {label: [curves[queries][label] for queries in curves if label in curves[queries]] for label in labels}
    return draw.bands(
        {label: [(at, *estimate) for at, estimate in points] for label, points in lines.items()},
        x="mean fidelity of extracted models, asked " + ", ".join(map(str, curves)) + " queries",
        y="AUC against strangers",
    )


def _curves(found: Experiment) -> dict[int, dict[str, tuple[float, Estimate]]]:
    """Queries -> method -> mean fidelity of extracted models, and their AUC over zoos."""
    curves: dict[int, dict[str, list[pd.DataFrame]]] = {}
    for run in found.done:
        asked = run.config["testbed"]["zoo"]["queries"]
        tables = curves.setdefault(asked, {}).setdefault(run.config["method"]["label"], [])
        tables.append(suspects(run).assign(copy=1.0))
    extractions = found.runs[0].config["testbed"]["extractions"]
    return {
        asked: {
            label: (
                float(np.mean([table.loc[table["role"].isin(extractions), "fidelity"].mean() for table in tables])),
                clustered_auc(
                    [told_apart(table, None, which="extracted", extractions=extractions) for table in tables]
                ),
            )
            for label, tables in methods.items()
        }
        for asked, methods in sorted(curves.items())
    }


def suspects(run: Run) -> pd.DataFrame:
    """The suspects of a finished run, with what is known of each."""
    return record.matrix(run.folder, "suspects")


def one_a_zoo(found: Experiment) -> list[Run]:
    """A finished run of every zoo: what is known of its models is the same in all."""
    return list({run.seed: run for run in reversed(found.done)}.values())[::-1]


def _over_zoos(
    tables: Iterable[pd.DataFrame],
    extractions: Collection[str],
    *,
    kind: str | None = None,
    which: str = "all",
    alike: bool = False,
) -> str:
    zoos = [told_apart(table, kind, which=which, extractions=extractions, alike=alike) for table in tables]
    zoos = [(near, far) for near, far in zoos if len(near) and len(far)]
    if not zoos:
        return NOTHING
    estimate = clustered_auc(zoos)
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"
