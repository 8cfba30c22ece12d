"""A page is made whatever has run, and says no more than its records do."""

import os

import pytest
from conftest import ROOT

from experiments.pages import page, plots, sweep
from experiments.testbeds.ip_protection import page as lineage
from experiments.testbeds.task_relatedness import page as tasks
from experiments.testbeds.unlearning import page as unlearning
from experiments.testbeds.unlearning.pictures import calibrated_on_itself

RECORDED = ROOT / "results" / "recorded"
SOME = {
    "nothing": lambda run, turn: False,
    "the last run": lambda run, turn: turn < 0,
    "every third run": lambda run, turn: turn % 3 == 1,
    "no zoo of development": lambda run, turn: run.seed != 0,
}
"""What of a sweep has run, by a run and its place, from the end if it is the last one."""


@pytest.fixture
def some(tmp_path):
    """An experiment of which some recorded runs are done, and their folder."""

    def chosen(name, keep):
        records = tmp_path / "records"
        records.mkdir()
        runs = sweep.experiment(name, RECORDED).runs
        for turn, run in enumerate(runs):
            if run.record and keep(run, turn if run is not runs[-1] else -1):
                os.symlink(run.folder, records / run.folder.name)
        return sweep.experiment(name, records), records

    return chosen


@pytest.mark.parametrize("keep", SOME)
@pytest.mark.parametrize("name", ["task_relatedness", "unlearning", "unlearning_curves"])
def test_a_page_is_made_whatever_has_run(name, keep, some, tmp_path):
    found, records = some(name, SOME[keep])
    text = page.render(name, records, tmp_path)
    assert f"{len(found.done)} of {len(found.runs)} runs" in text
    assert "nan" not in text
    assert found.done or not list(tmp_path.glob("figures/*.png"))


@pytest.mark.parametrize(
    ("name", "given", "zoos"),
    [
        ("ip_protection", (), True),
        ("task_relatedness", (), True),
        ("unlearning_curves", (), True),
        ("task_budget", (), None),
        ("pairwise", ("method=agreement", "seed=0,1"), False),
    ],
)
def test_a_page_says_whether_its_seeds_are_zoos(name, given, zoos, tmp_path):
    text = page.markdown(sweep.experiment(name, tmp_path, given), tmp_path)
    assert ("for the same models" in text) == (zoos is False)
    assert ("seeds are zoos" in text) == (zoos is True)


def test_methods_are_paired_over_the_zoos_that_both_were_measured_on(some):
    def keep(run, turn):
        label = run.config["method"]["label"]
        return label == "ModelGiF" or (label == "RSA" and run.seed == 1)

    found, _ = some("task_relatedness", keep)
    row = next(line for line in tasks.paired(found).splitlines() if line.startswith("| RSA"))
    ours, theirs = (tasks.per_target(found, "own")[label][1] for label in ("ModelGiF", "RSA"))
    assert f"{(ours - theirs).mean():+.2f} [" in row
    assert row.split("|")[-2].strip() == "1"


def test_a_method_without_a_common_zoo_is_named_and_not_compared(some):
    def keep(run, turn):
        return run.seed == {"ModelGiF": 0, "RSA": 1}.get(run.config["method"]["label"])

    found, _ = some("task_relatedness", keep)
    row = next(line for line in tasks.paired(found).splitlines() if line.startswith("| RSA"))
    assert [cell.strip() for cell in row.split("|")[2:-1]] == ["—", "—", "—", "0"]


@pytest.mark.parametrize(
    "method", ["lira", "lira_pooled", "ulira", "mia_loss", "cka_penultimate", "zrf", "modelgif/odds"]
)
def test_only_likelihood_ratios_look_at_what_calibrates_belief(method, config):
    composed = config("testbed=unlearning", f"method={method}")
    assert calibrated_on_itself(composed["method"]) == (method in ("lira", "lira_pooled", "ulira"))


def test_whoever_saw_the_calibrating_models_is_neither_believed_nor_paired(some):
    found, _ = some("unlearning", lambda run, turn: True)
    lines = unlearning.believed(found).splitlines()
    rows = [line for line in lines if line.startswith("| LiRA")]
    assert [row.split("|")[1].strip() for row in rows] == ["LiRA, few shadows †", "LiRA, pooled variance †"]
    assert {cell.strip() for row in rows for cell in row.split("|")[2:-1]} == {"—"}
    assert "† LiRA, few shadows, LiRA, pooled variance took the calibrating models" in lines[0]
    measured = [label for label, runs in found.rows().items() if any(run.record for run in runs)]
    others = [
        line for line in lines if line not in rows and line.split("|")[1:2] and line.split("|")[1].strip() in measured
    ]
    assert len(others) == len(measured) - len(rows)
    assert not [line for line in others if "—" in line]
    assert "LiRA" not in unlearning.two_sources(found).split("\n\n")[1]


def test_two_sources_are_judged_on_the_zoos_that_both_were_measured_on(some):
    def keep(run, turn):
        label = run.config["method"]["label"]
        return label == "Logit cosine" or (label == "ModelGiF, log-odds" and run.seed in (0, 2))

    found, _ = some("unlearning", keep)
    row = unlearning.two_sources(found).splitlines()[-1]
    assert row.count("(1 zoo)") == 3


def test_a_calibrated_row_holds_the_means_of_its_records_and_a_method_that_has_not_run_holds_none(some):
    found, _ = some("ip_protection", lambda run, turn: run.config["method"]["label"] == "AKH" and run.seed < 2)
    lines = lineage.calibrated(found).splitlines()
    rows = {line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:-1]] for line in lines[2:]}
    titles, values = next(iter(rows.items()))[1], rows["AKH"]
    metrics = [run.record["metrics"] for run in found.done]
    for key, title in {
        "auc/pooled": "Pooled, raw",
        "auc_by_architecture/extract_l": "Extract-L, by architecture",
        "found_at_5/pooled": "Copies accused at 5 %",
        "alarms_at_10/pooled": "Strangers accused at 10 %",
    }.items():
        mean = sum(one[key] for one in metrics) / 2
        assert float(values[titles.index(title)]) == pytest.approx(mean, abs=0.0051)
    assert set(rows["FBI"]) == {"—"}


def test_what_an_owner_says_of_unseen_families_is_shown_where_a_record_has_it(some):
    found, _ = some("ip_protection", lambda run, turn: run.config["method"]["label"] == "AKH" and run.seed < 2)
    for run in found.done:  # as older records are
        for key in [key for key in run.record["metrics"] if "_unseen_" in key or "_holm_" in key or "_fdr_" in key]:
            del run.record["metrics"][key]
    assert "unseen" not in lineage.calibrated(found)
    added = {f"{what}_unseen_at_5/pooled": value for what, value in (("found", 0.875), ("alarms", 0.25))}
    for run in found.done:
        run.record["metrics"] |= added
    shown = lineage.calibrated(found)
    assert "Strangers accused at 5 %, family unseen" in shown
    assert "at 10 %, family unseen" not in shown
    (row,) = [line for line in shown.splitlines() if line.startswith("| AKH")]
    assert "0.88" in row
    assert "0.25" in row


def test_kinds_of_strangers_that_no_zoo_has_are_no_column(some):
    found, _ = some("ip_protection", lambda run, turn: run.config["method"]["label"] == "AKH" and run.seed == 0)
    head = lineage.kinds(found).splitlines()[2]
    assert "victim's images" in head
    assert "published" not in head


def test_the_front_joins_what_nothing_cheaper_is_better_than():
    points = {
        "a": (10.0, 0.7, "label"),
        "b": (20.0, 0.6, "label"),
        "c": (30.0, 0.9, "logit"),
        "d": (30.0, 0.8, "logit"),
    }
    axes = plots.front(points, x="cost", y="worth").axes[0]
    assert axes.lines[0].get_xydata().tolist() == [[10, 0.7], [30, 0.9]]
    assert [text.get_text() for text in axes.texts] == [*points]


def test_what_is_not_measured_has_no_place_on_the_front(tmp_path):
    assert lineage.cost_front(sweep.experiment("ip_protection", tmp_path)) is None
    front = lineage.cost_front(sweep.experiment("ip_protection_mid", RECORDED)).axes[0]
    named = {text.get_text() for text in front.texts}
    assert {"LiteGuard", "ModelGiF"} <= named
    assert "Nearest layer" not in named  # it asks nothing
