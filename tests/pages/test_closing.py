"""On a terminal a run ends with its numbers, its files and what to do next; elsewhere it says nothing of these."""

import io
import json
import os
import pty
import subprocess
import sys

import pytest
from conftest import ROOT, TOY
from rich.console import Console

from experiments.commands.refusal import STOPPED
from experiments.pages import closing

RUN = str(ROOT / "run.py")


@pytest.fixture
def saved():
    """A recorded run of the main table, and its folder."""
    for file in sorted((ROOT / "results" / "recorded").glob("*/report.json")):
        report = json.loads(file.read_text())
        if report["config"]["name"] == "ip_protection":
            return report, file.parent
    raise AssertionError("nothing is recorded")


@pytest.fixture
def terminal():
    return Console(force_terminal=True, width=200, record=True, file=io.StringIO(), markup=False)


def test_the_answer_of_the_testbed_comes_first_with_its_interval(saved):
    report, _ = saved
    metrics = report["metrics"]
    ends = f"[{metrics['auc/pooled/low']:.2f}, {metrics['auc/pooled/high']:.2f}]"
    title, text = next(iter(closing.numbers(report["config"], metrics).items()))
    assert (title, text) == ("Pooled", f"{metrics['auc/pooled']:.2f} {ends}")


def test_a_testbed_without_a_page_shows_what_has_an_interval():
    config = {"name": "mine", "testbed": {"_target_": "mine.nosuch.Testbed"}}
    metrics = {"auc": 0.5, "auc/low": 0.25, "auc/high": 1.0, "seconds": 3.0}
    assert closing.numbers(config, metrics) == {"auc": "0.50 [0.25, 1.00]"}


def test_a_terminal_is_shown_numbers_files_and_the_next_command(saved, terminal):
    report, folder = saved
    closing.show(report["config"], folder, report, terminal)
    text = terminal.export_text()
    assert "Pooled" in text
    assert str(folder) in text
    assert "distances.csv" in text
    assert "python -m experiments.pages ip_protection" in text


@pytest.mark.parametrize("why", ["no terminal", "a job of a sweep"])
def test_nothing_is_said_where_nobody_reads(why, saved, terminal, monkeypatch):
    report, folder = saved
    if why == "a job of a sweep":
        monkeypatch.setenv(STOPPED, "somewhere")
    else:
        terminal._force_terminal = False
    closing.show(report["config"], folder, report, terminal)
    assert terminal.export_text() == ""


def test_of_a_sweep_every_run_has_one_line(saved, terminal):
    report, _ = saved
    closing.show_all([("seed=0", report), ("seed=1", report)], terminal)
    lines = terminal.export_text().splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["seed=0", "seed=1"]
    assert all(" Pooled " in line for line in lines[:2])


def watched(*words, folder):
    """What a terminal shows of a program."""
    mine, theirs = pty.openpty()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TERM": "dumb", "COLUMNS": "200"}
    program = subprocess.Popen([sys.executable, RUN, *words], cwd=folder, env=environment, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(mine, 4096):
            shown += part
    except OSError:  # the other end is closed
        pass
    os.close(mine)
    assert program.wait() == 0, shown.decode()
    return shown.decode()


@pytest.mark.slow
def test_a_single_run_ends_with_its_numbers_and_a_sweep_with_one_line_a_run(tmp_path):
    quick = [*TOY, "wandb=disabled"]
    alone = watched(*quick, "method=agreement", folder=tmp_path)
    assert "Pooled" in alone
    assert "files  results/runs/" in alone
    several = watched("-m", *quick, "method=agreement", "seed=0,1", folder=tmp_path)
    assert several.count("files  ") == 0
    assert several.index("sweep: ") < several.index("seed=0  ") < several.index("seed=1  ")


def test_a_pipe_hears_nothing_of_it(command):
    done = command(RUN, *TOY, "method=agreement", "wandb=disabled")
    assert done.returncode == 0, done.stderr
    assert "report.json" in done.stdout
    assert "files  " not in done.stdout
