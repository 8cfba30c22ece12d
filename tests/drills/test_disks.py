"""Disks that are full, or that nobody may write to: one line with the remedy, no half file, and later the same work."""

import re
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT, TOY
from reliability import cases, tally

RUN = [str(ROOT / "run.py"), *TOY, "wandb=disabled", "method=agreement"]
PREPARE = [
    "-m",
    "experiments.prepare",
    "testbed=unlearning",
    "testbed.zoo.epochs=1",
    "testbed.zoo.checkpoints=[]",
    "shards=99",
]
EMBED = ["-m", "experiments.embed", *TOY, "method=modelgif/sketch"]
WHOLE = "one line, no record or model that is not whole; with more space the same command ends well"
OWN = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
"""Runs a command with mounts of its own, which need no rights and end with it."""
SMALL = 'mount -t tmpfs -o size=$1 none . && cd "$PWD" && shift && "$@"; code=$?; find . -type f; exit $code'
GROWN = (
    'mount -t tmpfs -o size=$1 none . && cd "$PWD" && shift && "$@"; '
    'mount -o remount,size=512m . && "$@"; code=$?; find . -type f; exit $code'
)
CLOSED = 'mount --bind . . && mount -o remount,bind,ro . && cd "$PWD" && "$@"'


def allowed() -> bool:
    return bool(shutil.which("unshare")) and not subprocess.run([*OWN, "mount -t tmpfs none /mnt"]).returncode


own_mounts = pytest.mark.skipif(not allowed(), reason="needs Linux, and leave to mount within a process")


@pytest.fixture
def on_disk(command):
    """Runs a program on a disk of its own: what the disk is like, and then as `command`."""

    def call(disk: str, *arguments: str) -> subprocess.CompletedProcess:
        return command("-c", "import os, sys; os.execvp(sys.argv[1], sys.argv[1:])", *OWN, disk, "sh", *arguments)

    return call


@pytest.mark.parametrize("size", [2000, 0, 500, 1000][: cases(1, 4)])
def test_where_files_cannot_grow_a_run_ends_in_one_line_without_a_record(size, command, tmp_path):
    def limit():
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    # -B: Python would keep a half-written compiled module as a whole one, for every later program
    done = command("-B", *RUN, preexec_fn=limit)
    assert done.returncode == 1
    assert "cannot write" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("report.json"))
    assert not list(tmp_path.rglob("*.partial"))
    tally(
        "full disks",
        1,
        survived="one line, no record or model that is not whole; with more space the same command ends well",
    )


@pytest.mark.slow
@own_mounts
@pytest.mark.parametrize("words", [RUN, PREPARE][: cases(1, 2)], ids=["run", "prepare"][: cases(1, 2)])
@pytest.mark.parametrize("size", ["16k", "4k", "8k", "12k", "40k"][: cases(1, 5)])
def test_on_a_full_disk_a_program_ends_in_one_line_and_goes_on_when_there_is_space(words, size, on_disk):
    full = on_disk(SMALL, size, sys.executable, *words)
    assert full.returncode == 1, full.stderr
    assert "Traceback" not in full.stderr
    assert "cannot write" in full.stderr.splitlines()[-1]
    assert "No space left on device" in full.stderr
    left = full.stdout.splitlines()
    assert not [file for file in left if file.endswith(".partial")]
    assert bool([file for file in left if file.endswith("report.json")]) == ("the run is recorded" in full.stderr)
    grown = on_disk(GROWN, size, sys.executable, *words)
    assert grown.returncode == 0, grown.stderr
    assert any(file.endswith(("report.json", ".safetensors")) for file in grown.stdout.splitlines())
    tally(
        "full disks",
        1,
        survived="one line, no record or model that is not whole; with more space the same command ends well",
    )


@pytest.mark.slow
@own_mounts
def test_where_nobody_may_write_what_is_finished_answers_and_all_else_ends_in_one_line(command, on_disk, tmp_path):
    assert command(*RUN).returncode == 0
    again = on_disk(CLOSED, sys.executable, *RUN)
    assert again.returncode == 0, again.stderr
    assert "finished before" in again.stdout
    for words in ([*RUN, "seed=1"], [*RUN, "rerun=true"], PREPARE, EMBED):
        refused = on_disk(CLOSED, sys.executable, *words)
        assert refused.returncode == 1, words
        *bars, said = refused.stderr.splitlines()
        assert "Traceback" not in "".join(bars)
        assert re.fullmatch("error: cannot (write|lock) .*; change its permissions or choose another folder", said)
    assert len(list(tmp_path.glob("results/runs/*/report.json"))) == 1
    tally("read-only disks", 5, survived="what is finished answers; all else ends in one line, before any work")
