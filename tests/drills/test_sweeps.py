"""A sweep goes on past what fails, and names it afterwards."""

import json
import re

import pytest
from conftest import ROOT, TOY

import run
from experiments.commands.refusal import Refused
from experiments.storage.configuration import composed

RUN = str(ROOT / "run.py")
QUICK = [*TOY, "wandb=disabled", "method=agreement"]
GOOD = "experiments.methods.outputs.pointwise.agreement"
BOTH = f"method.distance._target_=math.sqrt,{GOOD}"
LAUNCHERS = {
    "basic": (["hydra.sweeper.max_batch_size=1", BOTH], 3),
    "joblib": (["hydra.launcher.n_jobs=2", BOTH], 3),
    "submitit_local": ([], 1),  # a process for each job: half as many
}
"""Name -> overrides, and how many of the jobs fail."""


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_good_jobs_finish_and_failed_ones_are_named_with_reason_and_folder(launcher, command, tmp_path):
    if launcher == "submitit_local":
        pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="an extra")
    settings, failing = LAUNCHERS[launcher]
    done = command(RUN, "-m", *QUICK, "testbed.budget=161,8", f"hydra/launcher={launcher}", *settings)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    end = done.stderr[done.stderr.index("sweep: ") :]
    assert end.startswith(f"sweep: 1 done, {failing} failed\n")
    bugs = re.findall(
        r"^  failed: testbed.budget=8 method.distance._target_=math.sqrt: TypeError: .*\((.*)\)$", end, re.M
    )
    refused = re.findall(r"^  failed: testbed.budget=161.*: testbed.budget must lie .* not 161 \((.*)\)$", end, re.M)
    assert len(bugs) + len(refused) == failing
    for folder in (*bugs, *refused):
        kept = json.loads((tmp_path / folder / "failed.json").read_text())
        assert kept["reason"] in end
        assert kept["config"]["testbed"]["budget"] == (8 if folder in bugs else 161)
        assert bool(kept["traceback"]) == (folder in bugs)
        assert not (tmp_path / folder / "report.json").exists()
    assert len(list(tmp_path.glob("results/runs/*/report.json"))) == 1
    assert not list(tmp_path.glob("results/runs/.sweep-*"))


def test_a_sweep_that_shall_stop_begins_no_more_jobs_and_one_that_goes_on_finds_what_is_finished(command, tmp_path):
    sweep = ["-m", *QUICK, "testbed.budget=8,161,9"]
    stopped = command(RUN, *sweep, "on_error=stop")
    assert stopped.returncode == 1
    assert "sweep: 1 done, 1 failed, 1 not started\n" in stopped.stderr
    assert "not started: testbed.budget=9: " in stopped.stderr
    assert len(list(tmp_path.glob("results/runs/*/report.json"))) == 1
    done = command(RUN, *sweep)
    assert done.returncode == 1
    assert "sweep: 1 done, 1 found finished, 1 failed\n" in done.stderr
    refused = command(RUN, *sweep, "on_error=perhaps")
    assert refused.returncode == 1
    assert "on_error cannot be 'perhaps'; it may be continue, stop" in refused.stderr


def test_what_failed_says_why_in_its_folder_until_it_succeeds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Refused, match="device 'nosuch' is not to be had here"):
        run.main(composed(*QUICK, "device=nosuch"))
    (failed,) = tmp_path.glob("results/runs/*/failed.json")
    assert "device 'nosuch' is not to be had here" in json.loads(failed.read_text())["reason"]
    run.main(composed(*QUICK))
    assert [file.name for file in failed.parent.glob("*.json")] == ["report.json"]


@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_pattern_that_matches_nothing_is_refused_with_what_there_is(launcher, command):
    done = command(RUN, "-m", *TOY, "method=glob(nosuch*)", f"hydra/launcher={launcher}")
    assert done.returncode == 1
    assert re.match(r"error: method=glob\(nosuch\*\) matches nothing; there are activation_distance, ", done.stderr)
    assert done.stderr.count("\n") == 1
