"""The page for a browser: one file with all testbeds, made of recorded runs, that asks nothing of anybody."""

import base64
import hashlib
import json
import os
import re
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import jinja2
import vl_convert
from hydra.utils import get_method
from markdown_it import MarkdownIt

from experiments.pages import page, sweep
from experiments.pages.section import NOTHING
from experiments.pages.standing import SCALES
from experiments.pages.sweep import Experiment
from experiments.pages.web import charts, headline, verdict
from experiments.storage import configuration
from experiments.storage.files import ROOT

HERE = Path(__file__).parent
LEGEND = 90
"""Pixels of a picture for its legend and axis."""
MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")


def html(records: Path, folder: Path) -> str:
    """The whole page.

    Args:
        records: folder of the runs.
        folder: where the page will lie; links to records lead from there.

    Raises:
        ValueError: if a record is damaged, names it and the remedy.
    """
    found = {name: sweep.experiment(name, records) for name in configuration.names("page")}
    testbeds = [
        testbed(name, says, [one for one in found.values() if wing(one) == name], folder)
        for name, says in configuration.resolved("+web=index")["web"].items()
    ]
    done = {run.folder.name: run.record for one in found.values() for run in one.done if run.record}  # some are shared
    script = f"{bundle()}\n{(HERE / 'page.js').read_text()}"
    loader = jinja2.FileSystemLoader(HERE)
    made = jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined, autoescape=True, trim_blocks=True)
    made.policies["json.dumps_kwargs"] = {"sort_keys": True, "separators": (",", ":"), "ensure_ascii": False}
    return made.get_template("index.html.jinja").render(
        testbeds=[one for one in testbeds if one["done"] or not one["optional"]],
        runs=len(done),
        seconds=sum(one["seconds"] for one in done.values()),
        script=script,
        digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        style=(HERE / "style.css").read_text(),
        root=Path(os.path.relpath(ROOT, folder)).as_posix(),
        NOTHING=NOTHING,
    )


def bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed in one script, which holds nothing that would end it."""
    script = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return script.replace("</script", r"<\/script").replace("<!--", r"<\!--")


def wing(found: Experiment) -> str:
    """The folder of the testbed that the experiment belongs to; empty for a search that has not been run."""
    return found.runs[0].config["testbed"]["_target_"].split(".")[2] if found.runs else ""


def testbed(name: str, says: Mapping[str, Any], found: list[Experiment], folder: Path) -> dict[str, Any]:
    """What the page says of one testbed, its experiments in the order of their scales."""
    names = {says["experiment"]: SCALES[0]} | {f"{says['experiment']}_{scale}": scale for scale in SCALES}
    order = sorted(found, key=lambda one: (one.name not in names, SCALES.index(one.page["scale"]), one.name))
    shown = [experiment(one, says, folder) | {"main": one.name in names} for one in order]
    first = next((one for one in found if one.name == says["experiment"]), None)
    main = [one for one in shown if one["main"]]
    return {
        **says,
        "name": name,
        "optional": first is None or not first.done,
        "done": sum(one["done"] for one in shown),
        "verdict": verdict.sentence(first, says) if first and "metric" in says else "",
        "detail": verdict.sentence(first, says, "detail") if first and "metric" in says else "",
        "picture": spec(verdict.picture(first, says)) if first and "metric" in says else None,
        "scale": first.page["scale"] if first else "",
        "main": main,
        "more": [one for one in shown if not one["main"] and one["done"]],
        "missing": [one for one in shown if not one["main"] and not one["done"]],
        "scales": {scale: [one for one in main if one["scale"] == scale] for scale in SCALES},
        "accesses": sorted({row.access for one in main for row in one["rows"]} - {NOTHING}),
        "choices": {group: title for one in main for group, title in one["choices"].items()},
        "columns": says["main"],
    }


def experiment(found: Experiment, says: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """What the page says of one experiment: its table, pictures, sections, and where they come from."""
    declared = (found.page.get("charts") or {}) if found.done else {}
    drawn = {
        caption: spec(get_method(function)(found, charts))
        for caption, function in declared.items()
        if function  # a page may leave out one of its parent's
    }
    seeds, columns = found.seeds(), headline.shown(found, says["main"])
    return {
        "name": found.name,
        "command": found.command,
        "kind": "study" if found.name in configuration.names("study") else "experiment",
        "title": found.page["title"],
        "scale": found.page["scale"],
        "caption": found.page["caption"],
        "seeds": page.of_seeds(found),
        "drawn_by": f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else str(seeds[0]),
        "columns": columns,
        "choices": headline.choices(found),
        "rows": headline.rows(found, [column.title for column in columns], folder),
        "published_scale": found.page.get("published_scale"),
        "needs": found.page.get("needs") or {},
        "figures": {caption: drawing for caption, drawing in drawn.items() if drawing},
        "sections": [part for section in page.sections(found) for part in parts(section)],
        **page.origin(found),
    }


def spec(chart: charts.Chart | None) -> dict[str, Any] | None:
    """A chart as the browser's program reads it; None stays None."""
    if chart is None:
        return None
    made = json.loads(chart.to_json(validate=False))
    made.pop("$schema")
    made.pop("config", None)  # the page's own, light or dark
    # Its place is kept until it is drawn, so that nothing moves while somebody reads.
    height = made.get("height") or made["usermeta"]["height"]
    return made | {"usermeta": {"height": height + LEGEND}}


def parts(section: str) -> list[tuple[str, str]]:
    """Title and HTML of every part of a section in Markdown, each of which begins with its title in bold.

    >>> parts("**Who?** A, or *B*.\\n\\n**How**: so.")
    [('Who?', '<p>A, or <em>B</em>.</p>\\n'), ('How', '<p>so.</p>\\n')]
    """
    found = []
    for part in re.split(r"\n\n(?=\*\*)", section):
        _, title, text = re.split(r"^(?:\*\*(.+?)\*\*[:,]?\s*)?", part, maxsplit=1)
        text = re.sub(r"<tr>\n<td>(.*?)</td>", r'<tr>\n<th scope="row">\1</th>', MARKDOWN.render(text))
        box = f'<div class="box" tabindex="0" role="region" aria-label="Table: {escape(title or "")}"><table>'
        found.append((title or "More", text.replace("<table>", box).replace("</table>", "</table></div>")))
    return found
