"""A sweep goes on past what fails, and names it afterwards."""

import json
import re
from typing import NamedTuple

import pytest
from conftest import ROOT, TOY
from reliability import cases, tally

import run
from experiments.commands.refusal import Refused
from experiments.storage.configuration import composed

RUN = str(ROOT / "run.py")
QUICK = [*TOY, "wandb=disabled"]


class Mix(NamedTuple):
    """Jobs of a sweep, and of those that fail why."""

    words: list[str]
    good: int
    reasons: list[str]


AGREEMENT = "experiments.methods.outputs.pointwise.agreement"
MIXES = {
    "a wrong value and a bug": Mix(
        ["method=agreement", "testbed.budget=161,8", f"method.distance._target_=math.sqrt,{AGREEMENT}"],
        1,
        ["TypeError: .*", *2 * ["testbed.budget must lie .* not 161"]],
    ),
    "a wrong choice": Mix(
        ["method=agreement", "testbed.extractions=[],[nosuch]"], 1, ["extractions: 'nosuch' is no attack; .*"]
    ),
    "a method that does not fit": Mix(
        ["method=relearn_alone,agreement"], 1, ["Relearn time, forgotten alone needs pools .*"]
    ),
    "a wrong setting": Mix(["method=agreement", "+method.leak=abc,false,5"], 1, 2 * ["method.leak must be .*"]),
    "no such function": Mix(
        ["method=agreement", f"method.distance._target_=nosuch,{AGREEMENT}"],
        1,
        ["method.distance._target_: there is no function 'nosuch'.*"],
    ),
}
LAUNCHERS = {
    "processes": [],
    "basic": ["hydra.sweeper.max_batch_size=1"],
    "submitit_local": [],
}


@pytest.mark.slow
@pytest.mark.parametrize("launcher", list(LAUNCHERS)[: cases(1, 3)])
@pytest.mark.parametrize("mix", list(MIXES)[: cases(1, len(MIXES))])
def test_good_jobs_finish_and_failed_ones_are_named_with_reason_and_folder(mix, launcher, command, tmp_path):
    if launcher == "submitit_local":
        pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="an extra")
    words, good, reasons = MIXES[mix]
    done = command(RUN, "-m", *QUICK, *words, f"hydra/launcher={launcher}", *LAUNCHERS[launcher])
    assert done.returncode == 1
    bugs = [reason for reason in reasons if reason.startswith("TypeError")]
    assert ("Traceback" in done.stderr) <= bool(bugs)
    end = done.stderr[done.stderr.index("sweep: ") :]
    assert end.startswith(f"sweep: {good} done, {len(reasons)} failed\n")
    assert len(list(tmp_path.glob("results/runs/*/report.json"))) == good
    failed = end.splitlines()[1:]
    for reason in reasons:
        line = next(line for line in failed if re.match(rf"  failed: .*: {reason}", line))
        failed.remove(line)
        folder = re.search(r" \((results/runs/\w+)\)$", line)
        if folder:
            kept = json.loads((tmp_path / folder[1] / "failed.json").read_text())
            assert kept["reason"] in line
            assert bool(kept["traceback"]) == (reason in bugs)
            assert not (tmp_path / folder[1] / "report.json").exists()
    assert not failed
    assert not list(tmp_path.glob("results/runs/.sweep-*"))
    tally("sweeps with jobs that fail", 1, survived="every good job is done, every failed one named with its reason")


@pytest.mark.slow
def test_a_sweep_that_shall_stop_begins_no_more_jobs_and_one_that_goes_on_finds_what_is_finished(command, tmp_path):
    sweep = ["-m", *QUICK, "method=agreement", "testbed.budget=8,161,9"]
    stopped = command(RUN, *sweep, "on_error=stop")
    assert stopped.returncode == 1
    assert "sweep: 1 done, 1 failed, 1 not started\n" in stopped.stderr
    assert "not started: testbed.budget=9: " in stopped.stderr
    assert len(list(tmp_path.glob("results/runs/*/report.json"))) == 1
    done = command(RUN, *sweep)
    assert done.returncode == 1
    assert "sweep: 1 done, 1 found finished, 1 failed\n" in done.stderr
    tally("sweeps with jobs that fail", 2, survived="every good job is done, every failed one named with its reason")
    refused = command(RUN, *sweep, "on_error=perhaps")
    assert refused.returncode == 1
    assert "on_error cannot be 'perhaps'; it may be continue, stop" in refused.stderr


def test_what_failed_says_why_in_its_folder_until_it_succeeds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Refused, match="device 'nosuch' is not to be had here"):
        run.main(composed(*QUICK, "method=agreement", "device=nosuch"))
    (failed,) = tmp_path.glob("results/runs/*/failed.json")
    assert "device 'nosuch' is not to be had here" in json.loads(failed.read_text())["reason"]
    run.main(composed(*QUICK, "method=agreement"))
    assert [file.name for file in failed.parent.glob("*.json")] == ["report.json"]


@pytest.mark.parametrize("launcher", ["basic", "processes"])
def test_a_pattern_that_matches_nothing_is_refused_with_what_there_is(launcher, command):
    done = command(RUN, "-m", *TOY, "method=glob(nosuch*)", f"hydra/launcher={launcher}")
    assert done.returncode == 1
    assert re.match(r"error: method=glob\(nosuch\*\) matches nothing; there are activation_distance, ", done.stderr)
    assert done.stderr.count("\n") == 1
