"""Cells are means of what was measured, intervals and p-values what may be said of it."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from experiments.pages import sweep, tables
from experiments.pages.section import grid, probability, section, without_html
from experiments.storage import tables as stored

SEEDS = [{"auc/x": 0.5, "auc/x/low": 0.3, "auc/x/high": 0.6}, {"auc/x": 0.7, "auc/x/low": 0.5, "auc/x/high": 0.8}]


def with_records(found, metrics):
    """The same experiment, its runs done with these metrics, or not where they are None."""
    records = [one and {"metrics": one} for one in metrics]
    return replace(found, runs=[run._replace(record=one) for run, one in zip(found.runs, records, strict=True)])


def test_a_combination_that_has_not_run_is_a_dash(tmp_path):
    shown = tables.table(sweep.experiment("ip_protection", tmp_path))
    assert set(shown["Extract-L"]) == {"—"}
    assert set(shown["Runs"]) == {"0 of 5"}


def test_a_column_says_with_whose_models_queries_are_chosen_where_any_are(tmp_path):
    shown = tables.table(sweep.experiment("ip_protection", tmp_path))
    assert shown.loc["LiteGuard", "Chooses with"] == "independent, surrogate"
    assert shown.loc["ModelGiF", "Chooses with"] == "none"
    assert "Chooses with" not in tables.table(sweep.experiment("task_relatedness", tmp_path))


def test_a_cell_is_the_mean_over_seeds_with_the_mean_interval():
    assert tables.cell(SEEDS, "auc/x") == "0.60 [0.40, 0.70]"
    assert tables.cell([], "auc/x") == "—"


@pytest.mark.parametrize("order", [1, -1])
def test_a_cell_has_no_interval_where_a_seed_lacks_one(order):
    assert tables.cell([SEEDS[0], {"auc/x": 0.7}][::order], "auc/x") == "0.60"


@pytest.mark.parametrize("undefined", [{}, {"auc/x": None}, {"auc/x": np.nan}])
def test_a_cell_passes_over_a_seed_whose_metric_is_undefined(undefined):
    assert tables.cell([SEEDS[0], undefined], "auc/x") == "0.50 [0.30, 0.60]"
    assert tables.cell([undefined], "auc/x") == "—"


def test_p_values_of_zoos_come_to_the_largest_and_are_never_zero():
    assert tables.largest([{"mantel_p": 0.0005}, {"mantel_p": 0.02}], "mantel_p") == "0.020"
    assert tables.largest([{"mantel_p": 0.0005}, {}], "mantel_p") == "< 0.001"
    assert tables.largest([{}], "mantel_p") == "—"
    assert probability(0.00004, digits=4) == "< 0.0001"


def test_a_page_says_which_of_its_columns_are_p_values(tmp_path):
    found = sweep.experiment("task_relatedness", tmp_path)
    metrics = [{"mantel_p": 0.0005 if run.seed else 0.3, "spearman_without": 0.5} for run in found.runs]
    shown = tables.table(with_records(found, metrics)).iloc[0]
    assert shown["Mantel p, own"] == "0.300"
    assert shown["Spearman, own initial weights"] == "0.50"


def test_seeds_of_one_zoo_are_told_from_seeds_that_are_zoos(tmp_path):
    names = ("ip_protection", "ip_budget", "task_relatedness", "unlearning", "unlearning_curves")
    zoos = [sweep.experiment(name, tmp_path) for name in names]
    assert not any(found.shares_models() for found in zoos)
    assert all(alike(found).shares_models() for found in zoos)


def alike(found):
    """The experiment as if every seed measured the first one's models."""
    zoo = found.runs[0].config["testbed"]["zoo"]
    return replace(found, runs=[run._replace(config=run.config | {"testbed": {"zoo": zoo}}) for run in found.runs])


def test_what_a_label_says_stays_in_its_cell_and_is_no_html():
    table = pd.DataFrame({"AUC": ["0.5", "0.7"]}, index=["a | b\n| c", "<img src=x onerror=alert(1)>"])
    rows = without_html(grid(table)).splitlines()
    assert len(rows) == 4
    assert all(len(re.split(r"(?<!\\)\|", row)) == 4 for row in rows)
    assert "a \\| b \\| c" in rows[2]
    assert "<" not in rows[3]
    assert without_html(section("p < 0.001 <!-- end -->", table)).startswith("p < 0.001 &lt;!-- end -->")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "No columns"),
        (b"method,auc/pooled\nours,some\n", "could not convert string to float: 'some'"),
        (b"auc/pooled\n0.5\n", "Index method invalid"),
        ("method,auc/pooled\nours,0.5\n".encode("utf-16"), "codec can't decode"),
    ],
    ids=["empty", "text among numbers", "a column is missing", "another encoding"],
)
def test_published_figures_that_are_damaged_are_named_with_the_remedy(content, reason, tmp_path, monkeypatch):
    (tmp_path / "ip_protection.csv").write_bytes(content)
    for module in (tables, stored):
        monkeypatch.setattr(module, "PUBLISHED", tmp_path)
    expected = rf"ip_protection\.csv is damaged \(.*{reason}.*\); git checkout brings it back"
    with pytest.raises(ValueError, match=expected):
        tables.published(sweep.experiment("ip_protection", tmp_path))
