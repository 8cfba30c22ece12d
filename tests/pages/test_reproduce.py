"""One command per scale: what it says first, what it refuses, and how two of them share the work."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from conftest import ROOT

from experiments import reproduce
from experiments.pages import page, sweep
from experiments.pages.__main__ import RECORDED
from experiments.pages.standing import Place, Standing
from experiments.storage.files import lock


@pytest.fixture
def toy(monkeypatch, tmp_path):
    """Three experiments: one is there, one has to run, one lacks a folder. Returns the names that are made."""
    found = {
        "there": Standing("there", [Place("fields", "recorded", 5.0)], {}, {"fields": 5.0}),
        "open": Standing("open", [Place("fields", "missing", None)] * 2, {}, {"fields": 1800.0}),
        "lacking": Standing("lacking", [Place("labels", "missing", None)], {"zoo.root=none": "photographs"}, {}),
    }
    configs = {"there": {}, "open": {}, "lacking": {"zoo": {"root": "none"}}}
    made = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(reproduce, "of_scale", lambda scale: list(found))
    monkeypatch.setattr(reproduce, "shared", configs.__getitem__)
    monkeypatch.setattr(reproduce, "standing", lambda name, given, recorded: found[name])
    monkeypatch.setattr(reproduce, "_well", lambda command: made.append(list(command)) or True)
    return made


def test_a_dry_run_says_what_is_to_go_and_what_is_needed_and_does_nothing(toy, tmp_path, capsys):
    assert reproduce.main(["scale=mini", "dry_run=true"]) == 0
    said = capsys.readouterr().out
    assert "to go: 3 runs of 2 experiments, 1:00:00 at the pace of the records without 1 runs that nothing" in said
    assert "lacking needs zoo.root=none: photographs" in said
    assert not toy
    assert not list(tmp_path.iterdir())


def test_what_is_missing_is_made_and_what_lacks_its_folder_is_not_begun(toy, capsys):
    assert reproduce.main(["scale=mini", "zoo.root=none", "device=cpu"]) == 1
    assert toy == [
        ["-m", "experiments.prepare", "experiment=open", "method=modelgif", "device=cpu"],
        [str(ROOT / "run.py"), "experiment=open", "device=cpu"],
        ["-m", "experiments.pages", "open", "--results", "results"],
    ]
    assert "lacking: not started" in capsys.readouterr().err


def test_a_page_that_own_runs_lack_is_written_and_nothing_measured(toy, monkeypatch, tmp_path):
    own = Standing("ip_false_claim", [Place("fields", "done", 5.0), Place("labels", "recorded", 5.0)], {}, {})
    monkeypatch.setattr(reproduce, "of_scale", lambda scale: ["ip_false_claim"])
    monkeypatch.setattr(reproduce, "shared", lambda name: {})
    monkeypatch.setattr(reproduce, "standing", lambda name, given, recorded: own)
    assert reproduce.main(["scale=mini"]) == 0
    assert toy == [["-m", "experiments.pages", "ip_false_claim", "--results", "results"]]
    page.render("ip_false_claim", RECORDED, tmp_path / "results" / "pages")
    assert reproduce.main(["scale=mini"]) == 0
    assert len(toy) == 1
    assert not reproduce.unfinished(Standing("ip_protection", [Place("fields", "recorded", 5.0)], {}, {}), {})


def test_a_page_that_shows_fewer_runs_than_there_are_is_written_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    there = Standing("ip_false_claim", [Place("fields", "done", 5.0)], {}, {})
    for run in sweep.experiment("ip_false_claim", RECORDED).done:
        shutil.copytree(run.folder, Path("results", "runs", run.folder.name))
    text = page.render("ip_false_claim", RECORDED, tmp_path / "results" / "pages")
    assert not reproduce.unfinished(there, {})
    (file,) = tmp_path.glob("results/pages/tables/*.md")
    shown = page.runs_shown(text)
    file.write_text(text.replace(f"\n{shown} of", f"\n{shown - 1} of"))
    assert reproduce.unfinished(there, {})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "there is no scale ''; scale= one of toy, mini, mid, paper"),
        (["scale=maxi"], "there is no scale 'maxi'; scale= one of toy, mini, mid, paper"),
        (["mini"], "'mini' is no setting; key=value is needed, such as scale=mini"),
        (["scale=mini", "dry_run=maybe"], "dry_run must be true or false, not 'maybe'"),
        (["scale=mini", "testbed.budget=8"], "testbed.budget would make other runs than those of the tables"),
        (["scale=mini", "testbed.zoo.dry_run=true"], "testbed.zoo.dry_run would make other runs than those of the"),
        (["scale=mini", "zoo.folder=data"], "no experiment of scale mini has zoo.folder; "),
    ],
)
def test_a_mistake_ends_in_one_line_before_any_work(words, said, toy, capsys):
    assert reproduce.main(words) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: {said}")
    assert len(error.splitlines()) == 1
    assert not toy


def test_two_invocations_share_the_work_and_the_second_waits_for_what_is_left(tmp_path):
    done, working = [], threading.Event()

    def other():
        with lock(tmp_path / "first"):
            working.set()
            while "second" not in done:
                threading.Event().wait(0.01)
            done.append("first, by the other")

    helper = threading.Thread(target=other)
    helper.start()
    working.wait()
    reproduce.share(["first", "second"], tmp_path, done.append)
    helper.join()
    assert done == ["second", "first, by the other", "first"]


def test_after_training_that_fails_nothing_is_measured_and_the_page_shows_what_is_there(monkeypatch):
    called = []

    def run(command):
        called.append(command[1:])
        return type("Ended", (), {"returncode": int(command[2:3] == [failing])})()

    failing = ""
    monkeypatch.setattr(reproduce.subprocess, "run", run)
    failing = "experiments.prepare"
    assert not reproduce.made("toy", ["device=cpu"], "results")
    assert [command[:2] for command in called] == [["-m", "experiments.prepare"], ["-m", "experiments.pages"]]
    called.clear()
    failing = "experiment=toy"
    assert not reproduce.made("toy", ["device=cpu"], "results")
    assert [Path(command[0]).name for command in called] == ["-m", "run.py", "-m"]
    failing = "none"
    assert reproduce.made("toy", ["device=cpu"], "results")


def test_what_is_refused_for_a_stated_reason_is_not_tried_again(toy, monkeypatch, capsys):
    refused = Standing("done", [Place("fields", "recorded", 5.0), Place("zest", "refused", None, "no")], {}, {})
    monkeypatch.setattr(reproduce, "of_scale", lambda scale: ["open"])
    monkeypatch.setattr(reproduce, "standing", lambda name, given, recorded: refused)
    assert reproduce.main(["scale=mini"]) == 0
    assert "all is there" in capsys.readouterr().out
    assert not toy


TOY = ["experiment=reproduce", "scale=toy", "wandb=disabled", "results=own"]
"""The whole command at the scale of seconds."""


def begin(place):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / "run.py"), *TOY]
    return subprocess.Popen(
        command, cwd=place, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    )


@pytest.mark.slow
def test_killed_and_given_twice_at_once_every_run_is_measured_once_and_the_page_lies_where_results_do(tmp_path):
    killed = begin(tmp_path)
    while killed.poll() is None and not list(tmp_path.glob("own/runs/*/report.json")):
        time.sleep(0.02)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    before = {file: file.stat().st_mtime_ns for file in tmp_path.glob("own/runs/*/report.json")}
    assert before
    both = [begin(tmp_path), begin(tmp_path)]
    said = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    reports = list(tmp_path.glob("own/runs/*/report.json"))
    assert len(reports) == 2
    assert before.items() <= {file: file.stat().st_mtime_ns for file in reports}.items()
    assert "2 of 2; none is missing" in (tmp_path / "own" / "pages" / "tables" / "smoke.md").read_text()
    last = begin(tmp_path)
    assert "all is there: nothing to measure" in last.communicate()[0]
    assert last.returncode == 0
