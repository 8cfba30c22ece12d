"""The plan is arithmetic on what was measured."""

import json

import pytest

from benchmarks import plan, report

ROW = {"Network": "ResNet-20@32", "Gradients/s, plain": 100.0, "Gradients/s, ours": 150.0, "Speed-up, bfloat16": 4.0}


@pytest.fixture
def measured(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / report.folder() / "field.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"tables": {"Matrix product": [ROW]}}))


@pytest.mark.usefixtures("measured")
def test_hours_are_gradients_over_rate_and_jobs(tmp_path):
    assert plan.main(["--models", "10", "--seeds", "2"]) == 0
    content = json.loads((tmp_path / report.folder() / "plan.json").read_text())
    rows = {row["Setting"]: row for row in content["tables"]["Plan"]}
    published = rows["published, plain"]
    assert published["Gradients"] == 10 * 2 * 50 * 512
    assert published["Core hours"] == pytest.approx(published["Gradients"] / 100 / 3600)
    assert rows["published, bfloat16"]["Core hours"] == pytest.approx(published["Core hours"] / 4)
    assert published["Hours, 16 cores"] == pytest.approx(published["Core hours"] / 16)
    assert published["Hours, 128 cores"] == pytest.approx(published["Core hours"] / 20)  # there are no more jobs
    assert published["Core hours"] / rows["5 steps, plain"]["Core hours"] == pytest.approx(10)


def test_without_a_measurement_the_command_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        plan.main([])
    assert "python -m benchmarks.field makes it" in capsys.readouterr().err


@pytest.mark.usefixtures("measured")
def test_a_network_that_was_not_measured_is_refused_with_those_that_were(capsys):
    with pytest.raises(SystemExit):
        plan.main(["--network", "nosuch"])
    assert "it has ResNet-20@32" in capsys.readouterr().err
