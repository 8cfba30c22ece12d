"""A run is finished once its report is there; nothing else counts."""

import json
import subprocess

import numpy as np
import pandas as pd
import pytest
from conftest import TOY

from experiments.interfaces import Report
from experiments.storage import files, identity, record


def test_the_folder_depends_on_testbed_method_and_seed_alone(config):
    here = record.folder(config(*TOY))
    assert record.folder(config(*TOY, "device=cuda", "wandb=disabled", "workers=7", "cache=elsewhere")) == here
    others = [config(*TOY, change) for change in ("seed=1", "method=akh", "testbed.budget=9")]
    assert len({here, *map(record.folder, others)}) == 4


def test_a_report_is_strict_json_without_what_is_not_finite(config, tmp_path):
    report = Report(
        {"auc/x": 0.5, "leakage_rank": np.nan, "worst": np.inf}, {"affinity": pd.DataFrame({"a": [np.nan]})}
    )
    table = pd.DataFrame({0: [0.25]}, index=pd.MultiIndex.from_tuples([("a", "b")], names=["source", "target"]))
    saved = record.save(tmp_path, config(*TOY), table, report, 1.0, images="")

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    assert json.loads((tmp_path / "report.json").read_text(), parse_constant=refuse) == saved
    assert saved["metrics"] == {"auc/x": 0.5}
    assert record.matrix(tmp_path, "affinity")["a"].isna().all()


def test_a_matrix_that_a_record_lacks_is_named_with_the_remedy(tmp_path):
    with pytest.raises(ValueError, match=r"suspects\.csv is missing.*rerun=true"):
        record.matrix(tmp_path, "suspects")


def test_a_cut_off_run_is_not_finished(tmp_path):
    (tmp_path / "distances.csv").write_text("source,target,distance\n")
    (tmp_path / ".report.json.123.partial").write_text('{"metrics"')
    assert record.finished(tmp_path) is None


def test_a_damaged_report_is_named(tmp_path):
    (tmp_path / "report.json").write_text('{"metrics"')
    with pytest.raises(ValueError, match=r"report\.json is damaged; delete it"):
        record.finished(tmp_path)


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    file = tmp_path / "report.json"
    files.write(file, b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match=r"cannot write .*No space left on device"):
        files.write(file, b"new")
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_every_committed_record_names_its_own_folder():
    from conftest import ROOT

    for folder in (ROOT / "results" / "recorded").glob("*"):
        saved = json.loads((folder / "report.json").read_text())
        assert {"metrics", "config", "identity", "commit", "device", "seconds"} <= set(saved)
        assert identity.digest(saved["identity"]) == folder.name


@pytest.mark.parametrize(
    ("file", "shows"),
    [
        ("modelgif_core/field.py", True),
        ("conf/config.yaml", True),
        ("run.py", True),
        ("experiments/new.py", True),
        ("results/tables/new.md", False),
        ("README.md", False),
    ],
)
def test_a_record_says_whether_any_file_of_the_project_differed_from_its_commit(file, shows, tmp_path, monkeypatch):
    def git(*words):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=b", *words], cwd=tmp_path, check=True)

    for name in ("modelgif_core/field.py", "conf/config.yaml", "run.py", "README.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "Begin")
    monkeypatch.setattr(record, "ROOT", tmp_path)
    assert "changed" not in record.commit()
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text("2")
    assert record.commit().endswith(" (changed)") == shows
