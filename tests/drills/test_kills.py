"""Killed at random moments, or with many at the same work, a run or a training is whole or not there, and the same."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT, TOY
from reliability import cases, tally

RUN = [str(ROOT / "run.py"), *TOY, "wandb=disabled", "method.represent.steps=4"]
PREPARE = [
    *("-m", "experiments.prepare", "testbed.zoo.victims=[repvgg]", "testbed.zoo.queries=128"),
    *("testbed.zoo.presentations=256", "testbed.zoo.networks.repvgg.train.epochs=6"),
    *(
        f"testbed.zoo.numbers.{sort}=1"
        for sort in ("derived", "extracted", "strangers", "held_out", "independent", "surrogates")
    ),
    *("testbed.zoo.numbers.pruned=2", "testbed.zoo.attacks.pruning.step=0.25", "testbed.zoo.attacks.pruning.keep=0"),
    *(f"~testbed.zoo.networks.{family}" for family in ("resnet", "efficientnet", "levit")),
]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def begin(words, place) -> subprocess.Popen:
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([sys.executable, *words], cwd=place, env=ENVIRONMENT, start_new_session=True, **silent)


def measured(place: Path) -> dict[str, bytes]:
    """Of every run that says it is finished, its distances byte by byte."""
    found = {}
    for report in place.glob("results/runs/*/report.json"):
        assert json.loads(report.read_text())["metrics"]
        found[report.parent.name] = (report.parent / "distances.csv").read_bytes()
    return found


def trained(place: Path) -> dict[str, bytes]:
    """Every model's weights, byte by byte; what else its file says is how long the training took."""
    from experiments.storage.weights import load_weights

    files = place.glob("cache/lineage/*.safetensors")  # with their answers
    return {file.name: b"".join(w.numpy().tobytes() for w in load_weights(file).values()) for file in files}


LONG = pytest.mark.skipif(not cases(0, 1), reason="takes minutes: make drills; test_run_drills has a quick one")


@LONG
@pytest.mark.parametrize(
    ("what", "words", "made", "full"),
    [("measuring", RUN, measured, 12), ("training a zoo", PREPARE, trained, 13)],
    ids=["run", "zoo"],
)
def test_killed_at_random_moments_nothing_looks_finished_that_is_not_and_the_end_is_the_same(
    what, words, made, full, tmp_path
):
    whole, cut, kills = tmp_path / "whole", tmp_path / "cut", full
    for place in (whole, cut):
        place.mkdir()
    began = time.monotonic()
    assert begin(words, whole).wait() == 0
    duration = time.monotonic() - began
    expected, chance = made(whole), random.Random(0)
    for _ in range(kills):
        process = begin(words, cut)
        time.sleep(chance.uniform(0.2, 0.95) * duration)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert made(cut).items() <= expected.items()
    assert begin(words, cut).wait() == 0
    assert made(cut) == expected
    assert not list(cut.rglob("*.partial*")), "a later run leaves nothing of a killed one"
    tally(f"`kill -9` of all processes while {what}", kills, survived="whole or not there; afterwards the same bytes")


@LONG
@pytest.mark.parametrize(
    ("what", "words", "made"),
    [("one run", RUN, measured), ("one zoo", [*PREPARE, "workers=1"], trained)],
    ids=["run", "zoo"],
)
@pytest.mark.parametrize("crowd", [4, 8])
def test_many_at_the_same_work_share_it_and_make_the_same(what, words, made, crowd, tmp_path):
    alone, together = tmp_path / "alone", tmp_path / "together"
    for place in (alone, together):
        place.mkdir()
    assert begin(words, alone).wait() == 0
    assert [process.wait() for process in [begin(words, together) for _ in range(crowd)]] == [0] * crowd
    assert made(together) == made(alone)
    tally(f"processes at {what} at once", crowd, survived="all end well, with one result, byte by byte")
