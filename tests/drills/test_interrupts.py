"""Interrupted, terminated or killed: one line, the usual exit status, nobody left at work, nothing half written."""

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from conftest import ROOT, TOY
from reliability import tally

RUN = str(ROOT / "run.py")
LONG = [*TOY, "wandb=disabled", "method.represent.steps=5000"]
SWEEP = [RUN, "-m", *LONG, "seed=0,1"]
PROGRAMS = {
    "run": ([RUN, *LONG], "results/runs/.locks/*"),
    "processes": (SWEEP, "results/runs/.locks/*"),
    "submitit_local": ([*SWEEP, "hydra/launcher=submitit_local"], "results/runs/.locks/*"),
    "prepare": (["-m", "experiments.prepare", "testbed/zoo=mini"], "cache/**/.locks/*"),
}
"""Name -> arguments, and the files that show that it is at work."""


class Started:
    """A program in its own group, as in a terminal, whose descendants are known by a word in their environment."""

    def __init__(self, name: str, place: Path) -> None:
        if name == "submitit_local":
            pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="an extra")
        arguments, sign = PROGRAMS[name]
        self.word = uuid.uuid4().hex
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=place,
            env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "DRILL": self.word},
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        deadline = time.monotonic() + 60
        while not list(place.glob(sign)) and self.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert self.process.poll() is None, self.process.stderr.read()
        assert list(place.glob(sign))

    def left(self) -> list[str]:
        """Command lines of what still runs of it, after it has had five seconds to end."""
        deadline = time.monotonic() + 5
        while (running := self.running()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return running

    def running(self) -> list[str]:
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if f"DRILL={self.word}".encode() in (folder / "environ").read_bytes():
                    found.append((folder / "cmdline").read_text().replace("\0", " "))
            except OSError:  # ended meanwhile
                continue
        return found


linux = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks into /proc")


@linux
@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("run", signal.SIGINT),
        ("run", signal.SIGTERM),
        pytest.param("submitit_local", signal.SIGINT, marks=pytest.mark.slow),
        pytest.param("processes", signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param("prepare", signal.SIGTERM, marks=pytest.mark.slow),
    ],
)
def test_a_signal_ends_in_one_line_that_says_how_to_go_on(name, number, tmp_path):
    started = Started(name, tmp_path)
    if number == signal.SIGINT:  # a terminal sends it to all
        os.killpg(started.process.pid, number)
    else:
        started.process.send_signal(number)
    said = started.process.communicate(timeout=60)[1]
    assert started.process.returncode == 128 + number
    assert said.splitlines()[-1] == "interrupted; the same command goes on"
    assert "Traceback" not in said
    assert not started.left()
    assert not list(tmp_path.rglob("failed.json"))
    assert not list(tmp_path.rglob("*.partial"))
    assert not list(tmp_path.rglob(".sweep-*"))
    tally("interrupted and terminated programs", 1, survived="one line, nobody left at work, nothing half written")


@pytest.mark.slow
@linux
@pytest.mark.parametrize("name", ["processes", "submitit_local", "prepare"])
def test_workers_of_a_killed_program_end_within_seconds(name, tmp_path):
    started = Started(name, tmp_path)
    assert len(started.running()) > 1
    os.kill(started.process.pid, signal.SIGKILL)
    started.process.wait()
    assert not started.left()
    tally("`kill -9` of a program with workers", 1, survived="its workers end within five seconds")
