"""The page for a browser says what the tables say, draws what the pictures draw, and asks nothing of anybody."""

import inspect
import re
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT, options
from hydra.utils import get_method

from experiments import page as command
from experiments.pages import plots, sweep, tables
from experiments.pages.web import charts, headline, site, squares, verdict
from experiments.storage import configuration

RECORDED = ROOT / "results" / "recorded"
MAIN = ["ip_protection", "task_relatedness", "unlearning"]
FOLDER = command.PAGE.parent


@cache
def says():
    return configuration.resolved("+web=index")["web"]


@cache
def recorded(name):
    return sweep.experiment(name, RECORDED)


def rows_of(found):
    return headline.rows(found, list(tables.columns(found.page).values()), FOLDER)


@pytest.mark.parametrize("name", MAIN)
def test_every_cell_is_the_markdown_tables(name):
    found = recorded(name)
    text = (ROOT / "results" / "tables" / f"{found.page['file']}.md").read_text()
    rows = rows_of(found)
    assert {row.label for row in rows} >= set(found.rows())
    for row in rows:
        for cells in (row.cells, row.published):
            line = re.compile(r"\| *" + r" *\| *".join(map(re.escape, [row.label, *cells])) + r" *\|")
            assert not any(cells) or set(cells) == {"—"} or line.search(text), row.label


@pytest.mark.parametrize("name", MAIN)
def test_every_row_leads_to_the_records_of_its_runs(name):
    found = recorded(name)
    rows = rows_of(found)
    ways = [(FOLDER / way).resolve() for row in rows for _, way in row.records]
    assert sorted(ways) == sorted((run.folder / "report.json").resolve() for run in found.done)
    assert all(len({told for told, _ in row.records}) == len(row.records) for row in rows)


def test_what_was_published_stands_beneath_the_row_of_its_name_and_by_itself_otherwise():
    found = recorded("ip_protection")
    rows = {row.label: row for row in rows_of(found)}
    printed = tables.published(found)
    assert set(printed.index) <= set(rows)
    assert rows["ModelGiF"].published == list(printed.loc["ModelGiF"])
    assert rows["ModelGiF"].cells != rows["ModelGiF"].published
    alone = [label for label in printed.index if label not in found.rows()]
    assert alone
    assert all(set(rows[label].cells) == {"—"} and not rows[label].records for label in alone)


@pytest.mark.parametrize("name", MAIN)
def test_a_sentences_numbers_are_the_tables(name):
    found = recorded(name)
    said = " ".join(verdict.sentence(found, says()[name], key) for key in ("verdict", "detail"))
    known = {cell for row in rows_of(found) for cell in row.cells}
    decimals = re.findall(r"-?\d\.\d\d(?: \[.+?\])?", said)
    assert len(decimals) >= 3
    assert set(decimals) <= known
    assert says()[name]["ours"] in said


@pytest.mark.parametrize("name", MAIN)
def test_nulls_and_controls_do_not_compete(name):
    found = recorded(name)
    rows, competing = found.rows(), verdict.competing(found, says()[name])
    nulls = {label for label, runs in rows.items() if runs[0].config["method"]["access"] == "architecture"}
    assert nulls
    assert set(competing) == {label for label, runs in rows.items() if found.metrics(runs)} - nulls


@pytest.mark.parametrize("name", ["stronger_tasks", "task_budget", "task_relatedness"])
def test_a_table_with_or_without_sides_shows_its_score_first(name):
    found = recorded(name)
    first = headline.shown(found, says()["task_relatedness"]["main"])[0]
    assert first.main
    assert first.title.startswith("Spearman")


def test_no_sentence_has_a_number_that_somebody_typed():
    for one in says().values():
        assert not re.search(r"\d", one.get("verdict", "") + one.get("detail", "") + one["asks"] + one["question"])


@pytest.mark.parametrize("name", MAIN)
def test_what_has_not_run_is_missing_and_draws_nothing(name, tmp_path):
    made = site.testbed(name, says()[name], [sweep.experiment(name, tmp_path)], FOLDER)
    assert made["verdict"] == f"— (missing): python run.py experiment={name}"
    assert made["picture"] is None
    (one,) = made["main"]
    assert not one["done"]
    assert not one["figures"]
    assert {cell for row in one["rows"] for cell in row.cells} == {"—"}


@pytest.mark.parametrize("name", MAIN)
def test_every_row_that_a_sentence_marks_is_a_row_of_the_table(name):
    found = recorded(name)
    known = verdict.estimates(found, says()[name])
    assert {says()[name]["ours"], *says()[name]["marked"].values()} <= set(known)
    assert set(says()[name]["main"]) <= set(tables.columns(found.page)) | {"auc_architecture/pooled"}


@pytest.mark.parametrize("name", [name for name in options("page") if sweep.page(name).get("charts")])
def test_what_a_page_draws_is_a_function_that_can_draw_for_a_browser(name):
    for function in filter(None, sweep.page(name)["charts"].values()):
        assert list(inspect.signature(get_method(function)).parameters) == ["found", "draw"]


def test_a_browsers_pictures_have_the_names_and_settings_of_those_in_files():
    for name in ("heat_map", "dots", "strips", "bands", "front"):
        ours, theirs = (list(inspect.signature(getattr(module, name)).parameters) for module in (plots, charts))
        assert ours == theirs


def test_pictures_of_toy_numbers_are_valid_and_the_same_when_drawn_again():
    table = pd.DataFrame({"a": [0.1, None], "b": [0.5, 1.0]}, index=["x", "y"])
    square = pd.DataFrame([[0, 1, 2], [1, 0, 3], [2, 3, 0.0]], index=["p", "q", "r"], columns=["p", "q", "r"])
    points = {"x": (0.5, 0.4, 0.6), "y": (0.7, 0.6, 0.8)}
    curve = pd.DataFrame({"role": ["one", "one"], "epoch": [1, 2], "distance": [0.1, 0.2]})
    suspects = pd.DataFrame({"role": ["one", "two"], "accuracy": [0.5, None], "reference": [0.1, 0.2]})

    def drawn():
        return [
            charts.heat_map(table, title="t"),
            charts.dots({"g": points, "h": points}, label="l", chance=0.5),
            charts.strips({"one": pd.Series([0.1, 0.2]), "two": pd.Series([0.3])}, apart=["two"], label="l"),
            charts.bands({"m": [(0.1, 0.5, 0.4, 0.6), (0.2, 0.6, 0.5, 0.7)]}, x="x", y="y"),
            charts.front({"m": (10, 0.5, "label"), "n": (20, 0.4, "logit")}, x="x", y="y"),
            charts.bars({"m": pd.Series({"s_t": 0.5})}, label="l"),
            charts.lines(curve, curve, names={"one": "One"}),
            charts.scatter(suspects, {"one": "k", "two": "k"}, names={"k": "Kind"}),
            charts.standing(points, marked={"best": ("x", points["x"])}, label="l"),
            squares.explorer({"m": square, "truth": square}, truth="truth", first="m", groups={"g": ["p", "q"]}),
        ]

    first, second = ([site.spec(chart) for chart in drawn()] for _ in range(2))
    assert first == second
    for chart in drawn():
        chart.to_dict(validate=True)


def test_every_curve_ends_with_its_own_training():
    measured = pd.DataFrame({"role": [*"aab"], "epoch": [5, 10, 4], "distance": [0.1, 0.2, 0.3]})
    chart = site.spec(charts.lines(measured, measured[:0], names={"a": "A", "b": "B"}))
    (rows,) = chart["datasets"].values()
    assert {(row["name"], row["share"]) for row in rows} == {("A", 0.5), ("A", 1), ("B", 1)}


def test_the_script_cannot_end_its_own_element_and_opens_no_way_out():
    script = site.bundle()
    assert "</script" not in script
    assert script == site.bundle()
    frame = (Path(site.__file__).parent / "index.html.jinja").read_text()
    (policy,) = re.findall(r'Content-Security-Policy" content="(.+?)"', frame)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy
    assert not re.search(r"(?:src|href)=\"https?:(?!//arxiv\.org)", frame)


def test_markup_in_a_section_is_shown_and_not_obeyed():
    ((title, text),) = site.parts("**T**: a <b>c</b>\n\n| x | y |\n|---|---|\n| <i>1</i> | 2 |")
    assert title == "T"
    assert "<b>" not in text
    assert '<th scope="row">&lt;i&gt;1' in text


@pytest.mark.slow  # composes every sweep and reads every record
def test_the_page_under_version_control_is_what_records_say_and_the_same_when_made_again():
    made = site.html(RECORDED, FOLDER)
    assert made == site.html(RECORDED, FOLDER)
    assert len(made.encode()) < 5e6
    assert made == command.PAGE.read_text()
