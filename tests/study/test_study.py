"""A search: its trials are ordinary runs, it goes on where it was cut off, and processes share it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from statistics import mean

import optuna
import pytest
import yaml
from conftest import ROOT, TOY, options

import run
from experiments.commands.door import admitted
from experiments.commands.interrupts import Interrupted
from experiments.pages import sweep
from experiments.storage import configuration, record
from experiments.study import plan, search
from experiments.study.__main__ import main

BASE = ["method=modelgif", *TOY[:2], "wandb=disabled", "pictures={}"]
CHOSEN = plan.Plan(
    base=BASE,
    seeds=[0, 1],
    space={"method.represent.steps": [1, 2, 3], "method.represent.cumulative": [True, False]},
    objectives={"auc/pooled": "maximize"},
    trials=2,
    sampler={"_target_": "optuna.samplers.RandomSampler", "seed": 0},
    rungs={"testbed.budget": [2, 4]},
    pruner={"_target_": "optuna.pruners.ThresholdPruner", "upper": 2.0, "lower": 0.0},
)
FRONT = {key: part for key, part in CHOSEN.items() if key not in ("rungs", "pruner")} | {
    "base": [*BASE, "testbed.budget=2"],
    "objectives": {"auc/pooled": "maximize", "cost/gradient_per_model": "minimize"},
}


def searched(place, chosen=CHOSEN, do=run.main):
    """The trials as recorded, and the study, after a search in this folder."""
    search.search("toy", chosen, (f"results={place}",), place, do, tell=lambda line: None)
    return plan.trials(place / "runs" / "toy.json"), search.opened("toy", chosen, place / "studies" / "toy.db")


@pytest.mark.slow
def test_a_trial_is_made_of_ordinary_runs_and_what_is_measured_is_found(tmp_path):
    trials, _ = searched(tmp_path)
    assert [trial["state"] for trial in trials] == ["complete"] * 2
    for trial in trials:
        for reached, names in zip(trial["rungs"], trial["runs"], strict=True):
            metrics = [record.finished(tmp_path / "runs" / name, name)["metrics"] for name in names]
            assert reached == mean(one["auc/pooled"] for one in metrics)
        assert trial["values"] == [trial["rungs"][-1]]
    made = {file: file.stat().st_mtime_ns for file in tmp_path.glob("runs/*/report.json")}
    searched(tmp_path)
    again, _ = searched(tmp_path, CHOSEN | {"trials": 3})
    assert again[:2] == trials
    assert len(again) == 3
    assert made.items() <= {file: file.stat().st_mtime_ns for file in tmp_path.glob("runs/*/report.json")}.items()


@pytest.mark.slow
def test_a_search_that_was_cut_off_goes_on_as_if_it_had_not_been_and_counts_no_killed_trial(tmp_path):
    whole, _ = searched(tmp_path / "whole", FRONT)
    done = []

    def cut(config):
        if len(done) == 3:
            raise Interrupted(signal.SIGTERM)
        done.append(run.main(config))

    with pytest.raises(Interrupted):
        searched(tmp_path / "cut", FRONT, cut)
    trials, study = searched(tmp_path / "cut", FRONT)
    assert [trial["parameters"] for trial in trials] == [trial["parameters"] for trial in whole]
    assert [trial["values"] for trial in trials] == [trial["values"] for trial in whole]
    states = [trial.state.name for trial in study.trials]
    assert sorted(states) == ["COMPLETE"] * 2 + ["FAIL"]
    assert study.directions == [optuna.study.StudyDirection.MAXIMIZE, optuna.study.StudyDirection.MINIMIZE]


def test_a_pruned_trial_ends_early_and_a_refused_one_says_why_and_neither_has_a_value(tmp_path):
    never = CHOSEN | {"trials": 1, "pruner": {"_target_": "optuna.pruners.ThresholdPruner", "lower": 2.0}}
    (trial,), _ = searched(tmp_path / "pruned", never)
    assert (trial["state"], len(trial["rungs"]), trial["values"]) == ("pruned", 1, None)
    (trial,), _ = searched(tmp_path / "refused", CHOSEN | {"trials": 1, "rungs": {"testbed.budget": [999]}})
    assert (trial["state"], trial["values"]) == ("refused", None)
    assert trial["reason"].startswith("testbed.budget must lie between 1 and")


@pytest.mark.parametrize("name", options("study"))
def test_every_study_is_of_its_kinds_and_its_first_run_composes(name):
    chosen = plan.plan(name)
    assert plan.checked(name, chosen) == chosen
    assert name in options("page")
    first = {key: values[0] for key, values in (chosen["space"] | chosen.get("rungs", {})).items()}
    config = plan.composed(chosen, first | {"seed": chosen["seeds"][0]})
    given = [f"{key}={plan.word(value)}" for key, value in first.items()]
    assert config == configuration.composed(*chosen["base"], *given, f"seed={chosen['seeds'][0]}")
    assert admitted(config)["name"] == name


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"objectives": FRONT["objectives"]}, "2 objectives and a pruner, and Optuna prunes by one alone"),
        ({"objectives": {"auc/pooled": "up"}}, "objectives.auc/pooled cannot be 'up'; it may be maximize, minimize"),
        ({"prunner": None}, "has no setting 'prunner'; did you mean pruner?"),
        ({"seeds": []}, "seeds has no values to choose from"),
        (
            {"sampler": {"_target_": "optuna.samplers.RandomSampler", "sed": 0}},
            "has no setting 'sed'; did you mean seed",
        ),
        ({"rungs": {"testbed.budget": [2], "seed": [1]}}, "rungs are values of one setting, not of 2"),
    ],
)
def test_what_no_study_can_mean_is_refused_in_one_line(change, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        plan.checked("toy", CHOSEN | change)


@pytest.mark.parametrize(
    ("word", "key"),
    [
        ("seed=3", "seed"),
        ("method.represent.cumulative=true", "method.represent.cumulative"),
        ("++testbed.budget=3", "testbed.budget"),
        ("method.represent.readout._target_=mine", "method.represent.readout._target_"),
    ],
)
def test_a_word_that_the_study_itself_sets_is_refused_before_it_is_lost(word, key, capsys):
    assert main(["study=field_options", "testbed.readout=null", word]) == 1
    said = f"error: study field_options sets {key} itself, so that "
    assert capsys.readouterr().err.startswith(said)


def test_another_search_has_other_files_and_where_things_lie_or_how_many_trials_changes_none():
    title = plan.title("toy", CHOSEN)
    assert plan.title("toy", CHOSEN | {"trials": 9}, ("results=elsewhere", "cache=there")) == title
    assert plan.title("toy", CHOSEN | {"seeds": [0]}) != title != plan.title("toy", CHOSEN, ("testbed.budget=9",))


def test_a_page_shows_the_search_of_the_settings_that_it_is_given(tmp_path):
    given = (*TOY[:2], "wandb=disabled")
    tried = {"method.represent.steps": 4, "method.represent.cumulative": True, "testbed.budget": 8}
    plan.keep(plan.file("budget_against_steps", tmp_path, given), [{"state": "complete", "parameters": tried}])
    found = sweep.experiment("budget_against_steps", tmp_path, given)
    first = admitted(configuration.composed(*plan.plan("budget_against_steps")["base"], *given))
    assert [run.config["testbed"]["zoo"] for run in found.runs] == [first["testbed"]["zoo"]] * 2
    assert found.command == f"python -m experiments.study study=budget_against_steps {' '.join(given)}"
    assert not sweep.experiment("budget_against_steps", tmp_path).runs


@pytest.mark.slow
def test_processes_share_a_study_and_take_up_what_a_killed_one_left(tmp_path):
    words = [*BASE[1:], "study=field_options", "trials=4"]
    program = [sys.executable, "-m", "experiments.study", *words]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

    def begin():
        return subprocess.Popen(program, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, start_new_session=True)

    killed = begin()
    while killed.poll() is None and not list(tmp_path.glob("results/runs/*/report.json")):
        time.sleep(0.02)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    both = [begin(), begin()]
    assert [process.wait() for process in both] == [0, 0]
    (file,) = tmp_path.glob("results/runs/field_options-*.json")
    trials = plan.trials(file)
    assert len(trials) == 4
    for trial in trials:
        assert trial["state"] in ("complete", "pruned")
        assert all(record.finished(file.with_name(name), name) for names in trial["runs"] for name in names)


def test_the_file_of_a_wandb_sweep_gives_commands_that_compose():
    sweep = yaml.safe_load((ROOT / "docs" / "wandb_sweep.yaml").read_text())
    assert sweep["program"] == "run.py"
    assert sweep["command"][-1] == "${args_no_hyphens}"
    at = sweep["command"].index("${program}")
    fixed = [word for word in sweep["command"][at + 1 :] if not word.startswith("${")]
    for end in (0, -1):
        words = [f"{key}={plan.word(part['values'][end])}" for key, part in sweep["parameters"].items()]
        config = admitted(configuration.composed(*fixed, *words))
        assert config["wandb"]["mode"] == "online"
    metrics = (
        json.loads(file.read_text())["metrics"] for file in (ROOT / "results" / "recorded").glob("*/report.json")
    )
    assert any(sweep["metric"]["name"] in found for found in metrics)
