"""A run is finished once its report is there with all that it lists; nothing else counts."""

import errno
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import TOY

from experiments.interfaces import Report
from experiments.storage import files, record


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
    with pytest.raises(ValueError, match=r"report\.json is damaged .*; measure it again with rerun=true, or delete"):
        record.finished(tmp_path)


@pytest.fixture
def run(config, tmp_path):
    """A finished run's folder, and the configuration that it is of."""
    composed = config(*TOY, f"results={tmp_path}")
    table = pd.DataFrame(
        {"distance": [0.25]}, index=pd.MultiIndex.from_tuples([("a", "b")], names=["source", "target"])
    )
    folder = record.folder(composed)
    record.save(folder, composed, table, Report({}, {"affinity": pd.DataFrame({"a": [1.0]})}), 1.0, images="")
    return folder, composed


def test_a_report_lists_its_files_and_a_run_without_one_of_them_is_not_whole(run):
    folder, _ = run
    assert set(record.finished(folder, folder.name)["files"]) == {"distances.csv", "affinity.csv"}
    (folder / "affinity.csv").unlink()
    with pytest.raises(ValueError, match=r"affinity\.csv is missing; measure it again with rerun=true"):
        record.finished(folder)


def test_a_record_of_another_configuration_is_not_passed_off_as_the_one_asked_for(run, config):
    folder, _ = run
    other = record.folder(config(*TOY, "seed=1"))
    with pytest.raises(ValueError, match=r"report\.json is the record of another configuration; .*rerun=true"):
        record.finished(folder, other.name)


def test_a_report_of_another_version_says_what_it_lacks(run):
    folder, _ = run
    saved = json.loads((folder / "report.json").read_text())
    del saved["metrics"], saved["files"]
    (folder / "report.json").write_text(json.dumps(saved))
    with pytest.raises(ValueError, match=r"no report of this version \(it lacks files, metrics\)"):
        record.finished(folder)


def test_a_report_is_taken_away_before_a_run_is_measured_again(run):
    folder, _ = run
    record.forget(folder)
    assert record.finished(folder) is None
    record.forget(folder)


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    file = tmp_path / "report.json"
    files.write(file, b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match=r"cannot write .*No space left on device; free some space"):
        files.write(file, b"new")
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_every_committed_record_names_its_own_folder():
    from conftest import ROOT

    for folder in filter(Path.is_dir, (ROOT / "results" / "recorded").glob("*")):
        assert record.finished(folder, folder.name)
        assert {file.name for file in folder.iterdir()} == {"report.json", *record.finished(folder)["files"]}


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EACCES, "change its permissions or choose another folder"),
        (errno.EROFS, "change its permissions or choose another folder"),
        (errno.EISDIR, "move it away"),
        (errno.EIO, "choose another folder"),
    ],
)
def test_an_error_of_the_file_system_says_what_could_not_be_done_and_what_to_do(number, remedy):
    with (
        pytest.raises(OSError, match=f"cannot lock x: {os.strerror(number)}; .*{remedy}"),
        files.explained("cannot lock x"),
    ):
        raise OSError(number, os.strerror(number), "y")


def test_a_file_in_place_of_a_folder_and_a_folder_in_place_of_a_file_are_told_with_a_remedy(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder" / "full").mkdir(parents=True)
    for path in (tmp_path / "file" / "new", tmp_path / "folder"):
        with pytest.raises(OSError, match=rf"cannot write {path}: .*move it away"):
            files.write(path, b"")
    with pytest.raises(OSError, match=r"cannot lock .*move it away"), files.lock(tmp_path / "file" / "new"):
        pass
    for path in (tmp_path / "folder", tmp_path / "file" / "report.json"):
        with pytest.raises(OSError, match=rf"cannot read {path}: .*move it away"):
            files.read(path)
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder"}


@pytest.mark.parametrize(
    ("file", "shows"),
    [
        ("modelgif_core/field.py", True),
        ("conf/config.yaml", True),
        ("run.py", True),
        ("experiments/new.py", True),
        ("results/tables/new.csv", False),
        ("results/published/new.csv", True),
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


def test_what_is_shown_to_others_names_no_folder_of_this_machine_and_is_whole(config, tmp_path):
    table = pd.DataFrame({0: [0.25]}, index=pd.MultiIndex.from_tuples([("a", "b")], names=["source", "target"]))
    saved = record.save(tmp_path, config(f"cache={tmp_path}/cache"), table, Report({"auc/x": 0.5}), 1.0, images="")
    assert str(tmp_path) in record.sealed(saved).decode()
    files.write(tmp_path / "report.json", record.sealed(record.portable(saved)))
    found = record.finished(tmp_path)
    assert str(tmp_path) not in record.sealed(found).decode()
    assert {key: part for key, part in found.items() if key not in ("config", "checksum")} == {
        key: part for key, part in saved.items() if key not in ("config", "checksum")
    }


def test_no_recorded_run_names_a_folder_of_a_machine():
    for report in (files.ROOT / "results" / "recorded").glob("*/report.json"):
        saved = json.loads(report.read_text())
        assert record.portable(saved) == saved, report
