"""Pictures of a run are drawn from its record alone, again and again."""

import numpy as np
import pandas as pd
import pytest
from hydra.utils import instantiate
from PIL import Image

from experiments.job import described
from experiments.pages import draw
from experiments.storage import record

TOYS = {
    "ip_protection": ["testbed/zoo=toy", "testbed/samples=toy"],
    "task_relatedness": ["testbed/zoo=toy_tasks", "testbed/samples=toy"],
    "unlearning": ["testbed/zoo=toy_forgetting"],
}
DRAWN = {
    "ip_protection": {"groups", "roc", "budget"},
    "task_relatedness": {"heat_maps", "trees", "targets"},
    "unlearning": {"separation", "map"},  # this zoo has no checkpoints, so no curves
}


@pytest.fixture
def recorded(config, tmp_path):
    """A record of random distances on the toy zoo of a testbed, and its configuration."""

    def made(wing, *overrides):
        composed = config(f"testbed={wing}", *TOYS[wing], "testbed.budget=8", *overrides)
        testbed = instantiate(composed["testbed"], _convert_="all")
        index = pd.MultiIndex.from_tuples(testbed.pairs(), names=["source", "target"])
        distances = pd.DataFrame(np.random.default_rng(0).random((len(index), 4)), index=index)
        folder = tmp_path / "run"
        record.save(folder, composed, described(distances, testbed), testbed.score(distances), 1.0, images="")
        return folder, composed

    return made


@pytest.mark.parametrize("wing", TOYS)
def test_pictures_come_from_the_record_and_come_out_the_same_again(wing, recorded, capsys):
    folder, composed = recorded(wing)
    assert not list(folder.glob("*.png"))
    files = draw.draw(folder, composed["pictures"])
    assert {file.stem for file in files} == DRAWN[wing]
    first = {file.name: file.read_bytes() for file in files}
    assert all(np.ptp(np.asarray(Image.open(file).convert("L"))) > 0 for file in files)
    for file in files:
        file.unlink()
    assert draw.main([str(folder)]) == 0
    assert capsys.readouterr().out.split() == [str(file) for file in files]
    assert {file.name: file.read_bytes() for file in folder.glob("*.png")} == first


def test_a_bound_that_means_nothing_is_not_drawn(recorded):
    folder, composed = recorded("unlearning", "method=lira")
    (axes,) = draw.get_method(composed["pictures"]["separation"])(folder).axes
    assert not axes.lines
    folder, composed = recorded("unlearning")
    (axes,) = draw.get_method(composed["pictures"]["separation"])(folder).axes
    assert len(axes.lines) == 1


def test_a_record_without_what_a_picture_shows_is_named_in_one_line(recorded, tmp_path, capsys):
    folder, _ = recorded("ip_protection")
    (folder / "suspects.csv").unlink()
    assert draw.main([str(folder), str(tmp_path / "nothing")]) == 1
    damaged, missing = capsys.readouterr().err.splitlines()
    assert "suspects.csv is missing" in damaged
    assert "nothing holds no finished run" in missing


def test_all_runs_are_drawn_by_default(recorded, tmp_path, monkeypatch):
    folder, _ = recorded("task_relatedness")
    (tmp_path / "results" / "runs").mkdir(parents=True)
    folder.rename(tmp_path / "results" / "runs" / "run")
    monkeypatch.chdir(tmp_path)
    assert draw.main([]) == 0
    assert {file.stem for file in tmp_path.glob("results/runs/run/*.png")} == DRAWN["task_relatedness"]
