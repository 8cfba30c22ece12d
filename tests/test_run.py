"""The command line: runs, refusals, kills. Each program starts in an empty folder."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
from conftest import ROOT, TOY

RUN = str(ROOT / "run.py")
QUICK = [*TOY, "wandb=disabled"]

REFUSED = {
    "unknown method": (["method=nosuch"], "Available options in 'method':"),
    "unknown zoo": (["testbed/zoo=nosuch"], "Available options in 'testbed/zoo':"),
    "unknown key": (["testbed.nosuch=1"], "nosuch"),
    "budget beyond the pool": ([*QUICK, "testbed.budget=161"], "between 1 and the 160 samples of the pool, not 161"),
    "no budget": ([*QUICK, "testbed.budget=0"], "between 1 and the 160 samples of the pool, not 0"),
    "too few candidates": (
        [*QUICK, "method=modelgif_separating", "method.queries.choose.candidates=4"],
        "need budget <= candidates <= pool, not 8 <= 4 <= 160",
    ),
    "unknown calibration": (
        [*QUICK, "testbed.calibration=some"],
        "must be one of none, pool, architecture, not 'some'",
    ),
    "empty role": ([*QUICK, "testbed.zoo.derived=[finetune_a]"], "no model of the zoo has the role"),
    "wrong shapes": ([*QUICK, "testbed/samples=digits"], "mat1 and mat2 shapes"),
    "non-finite images": ([*QUICK, "testbed.samples._target_=test_run.broken_images"], "not finite"),
    "no steps": ([*QUICK, "method.represent.steps=0"], "at least 1 step"),
    "results are a file": ([*QUICK, "results=taken"], "taken"),
    "read-only results": ([*QUICK, "results=/proc/nowhere"], "/proc/nowhere"),
}


def broken_images(**_):
    import torch

    from experiments.samples.toy import toy

    samples = toy()
    samples.inputs[:, 0, 0, 0] = torch.nan
    return samples


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_ends_in_one_clear_line_a_non_zero_exit_and_no_record(case, command, tmp_path):
    arguments, expected = REFUSED[case]
    (tmp_path / "taken").write_text("")
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    program = [sys.executable, RUN, *arguments]
    done = subprocess.run(program, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode != 0
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("report.json"))
    assert not list(tmp_path.rglob("*.partial"))


def test_a_full_disk_ends_in_one_clear_line_and_no_record(command, tmp_path):
    def limit():
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    done = command(RUN, *QUICK, preexec_fn=limit)
    assert done.returncode != 0
    assert "cannot write" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("report.json"))
    assert not list(tmp_path.rglob("*.partial"))


def test_a_second_call_does_nothing_and_says_so_and_rerun_gives_the_same_numbers(command, tmp_path):
    first = command(RUN, *QUICK)
    assert first.returncode == 0, first.stderr
    (report,) = tmp_path.glob("results/runs/*/report.json")
    saved = json.loads(report.read_text())
    assert {"metrics", "config", "commit", "device", "seconds", "versions"} == set(saved)
    assert (report.parent / "distances.csv").exists()
    assert {"groups.png", "roc.png", "budget.png"} <= {file.name for file in report.parent.iterdir()}
    stamp, table = report.stat().st_mtime_ns, (report.parent / "distances.csv").read_bytes()
    second = command(RUN, *QUICK)
    assert "finished before" in second.stdout
    assert report.stat().st_mtime_ns == stamp
    command(RUN, *QUICK, "rerun=true")
    assert report.stat().st_mtime_ns != stamp
    assert (report.parent / "distances.csv").read_bytes() == table


def test_the_smoke_experiment_runs_both_its_methods_and_writes_wandb_offline(command, tmp_path):
    done = command(RUN, "experiment=smoke")
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("results/runs/*/report.json"))) == 2
    assert len(list(tmp_path.glob("results/wandb/offline-run-*/*.wandb"))) == 2


def test_a_parallel_sweep_gives_the_same_distances_as_a_serial_one(command, tmp_path):
    sweep = ["-m", *QUICK, "method=modelgif,agreement", "seed=0,1"]
    command(RUN, *sweep, "results=serial")
    done = command(RUN, *sweep, "results=parallel", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    assert done.returncode == 0, done.stderr
    tables = {
        folder: {file.parent.name: file.read_bytes() for file in tmp_path.glob(f"{folder}/runs/*/distances.csv")}
        for folder in ("serial", "parallel")
    }
    assert len(tables["serial"]) == 4
    assert tables["serial"] == tables["parallel"]


def test_a_refusal_in_a_parallel_sweep_is_one_clear_line_too(command):
    done = command(RUN, "-m", *QUICK, "testbed.budget=8,161", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    assert done.returncode != 0
    assert "between 1 and the 160 samples of the pool, not 161" in done.stderr
    assert "Traceback" not in done.stderr


def test_killed_at_any_moment_a_run_leaves_no_record_or_a_whole_one_and_then_gives_the_same_table(command, tmp_path):
    command(RUN, *QUICK, "results=whole")
    (whole,) = tmp_path.glob("whole/runs/*/distances.csv")
    began = time.monotonic()
    command(RUN, *QUICK, "results=timed")
    duration = time.monotonic() - began
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for share in (0.5, 0.75, 0.9, 0.97):
        process = subprocess.Popen(
            [sys.executable, RUN, *QUICK, "results=cut"],
            cwd=tmp_path, env=environment, start_new_session=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(share * duration)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for report in tmp_path.glob("cut/runs/*/report.json"):
            assert json.loads(report.read_text())["metrics"]
            assert (report.parent / "distances.csv").read_bytes() == whole.read_bytes()
            shutil.rmtree(report.parent)
    assert command(RUN, *QUICK, "results=cut").returncode == 0
    (again,) = tmp_path.glob("cut/runs/*/distances.csv")
    assert again.read_bytes() == whole.read_bytes()


def test_every_command_in_the_readme_composes(config):
    lines = re.findall(r"^python run\.py (.*)$", (ROOT / "README.md").read_text(), flags=re.MULTILINE)
    assert lines
    for line in lines:
        words = re.findall(r"(?:[^\s']+|'[^']*')+", line.split("#")[0])
        chosen = [word.strip("'") for word in words if word != "-m" and not word.startswith(("hydra/", "hydra."))]
        config(*[choice.split(",")[0] for choice in chosen if "glob(" not in choice])


def test_prepare_says_how_many_models_are_ready(command):
    done = command("-m", "experiments.prepare", *TOY)
    assert done.returncode == 0, done.stderr
    assert "46 models are ready, 0 of them new" in done.stderr
