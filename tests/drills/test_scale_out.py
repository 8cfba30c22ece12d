"""The same runs, wherever they are done: other launchers, several workers on one folder, jobs that are killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import ROOT, TOY
from hydra.utils import instantiate
from reliability import cases, tally
from safetensors.torch import load_file

from experiments.prepare import part, prepare

RUN = str(ROOT / "run.py")
SWEEP = ["-m", *TOY, "wandb=disabled", "method.represent.steps=2", "seed=0,1"]
RAY = ["+hydra.launcher.ray.init.num_cpus=2", "+hydra.launcher.ray.init.include_dashboard=false"]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def records(place: Path):
    """Of every finished run its distances, byte by byte, and its metrics but what it cost."""
    found = {}
    for report in place.glob("runs/*/report.json"):
        metrics = json.loads(report.read_text())["metrics"]
        kept = {name: value for name, value in metrics.items() if "seconds" not in name and "memory" not in name}
        found[report.parent.name] = (report.with_name("distances.csv").read_bytes(), repr(kept))
    return found


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    place = tmp_path_factory.mktemp("serial")
    subprocess.run(
        [sys.executable, RUN, *SWEEP, "workers=1"], cwd=place, env=ENVIRONMENT, check=True, capture_output=True
    )
    found = records(place / "results")
    assert len(found) == 2
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("launcher", "settings"), [("submitit_local", []), ("ray", RAY)])
def test_another_launcher_gives_the_same_bytes(launcher, settings, serial, command, tmp_path):
    pytest.importorskip(f"hydra_plugins.hydra_{launcher.partition('_')[0]}_launcher", reason="an extra")
    done = command(RUN, *SWEEP, f"hydra/launcher={launcher}", *settings)
    assert done.returncode == 0, done.stderr
    assert records(tmp_path / "results") == serial


@pytest.mark.slow
@pytest.mark.skipif(not cases(0, 1), reason="in make drills: a launcher takes half a minute to give its worker up")
def test_a_killed_worker_leaves_no_record_and_the_same_command_finishes_its_work(serial, command, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="an extra")
    sweep = [*SWEEP, "hydra/launcher=submitit_local"]
    launcher = subprocess.Popen(
        [sys.executable, RUN, *sweep],
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while launcher.poll() is None and not list(tmp_path.glob("results/runs/.locks/*")):  # a worker is at its run
        time.sleep(0.01)
    workers = subprocess.run(["pgrep", "-f", f"submitit.core._submit.*{tmp_path}"], capture_output=True, text=True)
    os.kill(int(workers.stdout.split()[0]), signal.SIGKILL)
    assert launcher.wait() != 0
    left = records(tmp_path / "results")
    assert len(left) < 2
    assert all(serial[name] == record for name, record in left.items())
    done = command(RUN, *sweep)
    assert done.returncode == 0, done.stderr
    assert records(tmp_path / "results") == serial
    tally("`kill -9` of a launcher's worker", 1, survived="the same command finishes its work, with the same bytes")


@pytest.mark.slow
def test_of_two_workers_on_one_run_one_measures_and_the_other_waits_for_its_record(tmp_path):
    arguments = [sys.executable, RUN, *TOY, "wandb=disabled", "method.represent.steps=2"]
    both = [subprocess.Popen(arguments, cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE) for _ in range(2)]
    said = [worker.communicate()[0].decode() for worker in both]
    assert [worker.returncode for worker in both] == [0, 0]
    assert sum("finished before" in text for text in said) == 1
    assert len(records(tmp_path / "results")) == 1
    assert not list(tmp_path.rglob("*.partial"))


def test_parts_of_a_zoo_are_disjoint_and_make_the_same_models_as_the_whole(config, tmp_path):
    short = ["testbed.zoo.epochs=1", "testbed.zoo.approximate.epochs=1", "testbed.zoo.checkpoints=[]"]

    def zoo(place):
        composed = config("testbed=unlearning", *short, f"cache={tmp_path / place}")
        models = instantiate(composed["testbed"]["zoo"], _convert_="all")
        return {name: models[name] for name in ("reference", "head_zeroed", "approximate-0")}

    whole, parts = zoo("whole"), [part(zoo("parts"), shard, 3) for shard in range(3)]
    assert [list(each) for each in parts] == [[name] for name in whole]
    assert prepare(whole, workers=1) == 3
    for each in reversed(parts):  # what is derived before what it is derived from
        prepare(each, workers=1)
    files = {file.name: load_file(file) for file in (tmp_path / "whole").rglob("*.safetensors")}
    again = {file.name: load_file(file) for file in (tmp_path / "parts").rglob("*.safetensors")}
    assert again.keys() == files.keys()
    for name, tensors in files.items():
        assert all(torch.equal(again[name][key], value) for key, value in tensors.items())


def test_a_part_that_does_not_exist_is_refused(command):
    with pytest.raises(ValueError, match="between 0 and shards - 1 = 1, not -1"):
        part({}, -1, 2)
    done = command("-m", "experiments.prepare", "shard=2", "shards=2", *TOY)
    assert done.returncode != 0
    assert "between 0 and shards - 1 = 1, not 2" in done.stderr
    assert "Traceback" not in done.stderr
