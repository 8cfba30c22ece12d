"""The page of the paper's own table: AUC by the number of reference points, beside the authors' log."""

from pathlib import Path

import pytest

from experiments.pages import sweep
from experiments.pages.tables import published as printed
from experiments.storage.tables import published
from experiments.testbeds.ip_protection.page import fidelity_map
from experiments.testbeds.ip_protection.sac_hub.page import by_references


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The experiment, of which ModelGiF and one other method have run."""
    whole = sweep.experiment("ip_protection_paper", tmp_path_factory.mktemp("empty"))
    metrics = {"auc/extract_l": 0.75, "auc_at_512/extract_l": 0.75, "auc_at_8/extract_l": 0.5}
    done = {"ModelGiF", "Label agreement"}
    runs = [
        run._replace(record={"metrics": metrics}) if run.config["method"]["label"] in done else run
        for run in whole.runs
    ]
    return sweep.Experiment(whole.name, whole.page, runs)


def cells(text: str) -> dict[str, dict[str, str]]:
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    titles, _, *rows = lines
    return {row[0]: dict(zip(titles[1:], row[1:], strict=True)) for row in rows}


def test_one_measurement_serves_every_number_of_reference_points(found):
    rows = cells(by_references(found))
    assert rows["ModelGiF, 512"]["Extract-L"] == "0.75"
    assert rows["ModelGiF, 8"]["Extract-L"] == "0.50"
    assert rows["ModelGiF, 256"]["Extract-L"] == "—"
    assert not any(name.startswith(("Label", "ModelGiF, as published")) for name in rows)


def test_the_authors_log_stands_beside_it_as_recomputed(found):
    rows = cells(by_references(found))
    log = published("ip_protection_authors_log_auc.csv", index=["reference_samples", "sample_selection", "attack"])
    for size, title, attack in [(128, "Extract-Adv", "extract_adv"), (16, "Transfer-L", "transfer_100_last5")]:
        value = log.loc[(size, "sort_by_distance_irr", attack), "auc_recomputed_from_rounded"]
        assert rows[f"Authors' log, {size}"][title] == f"{value:.2f}"
    assert rows["Authors' log, 8"]["Extract-P"] == "0.20"
    assert "Authors' log, 512" not in rows


def test_the_page_has_the_papers_nine_columns_and_figures_of_the_same_zoo(found):
    titles = [title for key, title in found.page["columns"].items() if key.startswith("auc/")]
    assert titles[:9] == printed(found).columns.tolist()[:9]
    assert printed(found).loc["ModelGiF"].tolist()[:9] == ["1.00"] * 9


def test_where_nothing_is_known_of_fidelity_no_picture_is_drawn_of_it(found):
    for run in found.done:
        run.folder.mkdir(parents=True, exist_ok=True)
        rows = "suspect,role,task,fidelity\na,extract_l,original,\nb,unrelated_original,original,\n"
        (run.folder / "suspects.csv").write_text(rows)
    assert fidelity_map(found) is None


def test_the_leaking_row_is_named_and_selects_with_the_strangers_it_is_scored_on(found):
    (leaking,) = [run.config["method"] for run in found.runs if run.config["method"].get("leak")]
    assert "selects on its own negatives" in leaking["label"]
    assert leaking["roles"] == {"far": ["unrelated_original"], "near": []}
    assert leaking["queries"]["choose"]["candidates"] is None
    assert leaking["represent"]["steps"] == leaking["queries"]["choose"]["represent"]["steps"] == 50
    assert leaking["steps"] == 50
    assert Path(found.runs[0].config["testbed"]["zoo"]["root"]).name == "sac"
