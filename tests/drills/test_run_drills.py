"""What a run leaves behind when it is killed, and beside another one."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import ROOT, TOY

RUN = str(ROOT / "run.py")


QUICK = [*TOY, "wandb=disabled"]


@pytest.mark.slow
def test_a_parallel_sweep_gives_the_same_distances_as_a_serial_one(command, tmp_path):
    sweep = ["-m", *QUICK, "method=modelgif,agreement"]
    serial = command(RUN, *sweep, "results=serial", "workers=1")
    parallel = command(RUN, *sweep, "results=parallel")
    for done in (serial, parallel):
        assert done.returncode == 0, done.stderr
    tables = {
        folder: {file.parent.name: file.read_bytes() for file in tmp_path.glob(f"{folder}/runs/*/distances.csv")}
        for folder in ("serial", "parallel")
    }
    assert len(tables["serial"]) == 2
    assert tables["parallel"] == tables["serial"]


@pytest.mark.slow
def test_killed_at_any_moment_a_run_leaves_no_record_or_a_whole_one_and_then_gives_the_same_table(command, tmp_path):
    began = time.monotonic()
    command(RUN, *QUICK, "results=whole")
    duration = time.monotonic() - began
    (whole,) = tmp_path.glob("whole/runs/*/distances.csv")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}

    def written() -> bool:
        return bool(list(tmp_path.glob("cut/runs/*/distances.csv")))

    def late() -> bool:
        return time.monotonic() > started + 0.8 * duration

    for moment in (late, written):
        started = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, RUN, *QUICK, "results=cut"],
            cwd=tmp_path, env=environment, start_new_session=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        while not moment() and time.monotonic() < started + 10 * duration:
            time.sleep(0.002)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for report in tmp_path.glob("cut/runs/*/report.json"):
            assert json.loads(report.read_text())["metrics"]
            assert (report.parent / "distances.csv").read_bytes() == whole.read_bytes()
    assert command(RUN, *QUICK, "results=cut").returncode == 0
    (again,) = tmp_path.glob("cut/runs/*/distances.csv")
    assert again.read_bytes() == whole.read_bytes()
