"""How far an experiment is: by what lies in two folders, by locks that are held, by folders that are not there."""

import json
from functools import partial

import pytest

import run
from experiments import status
from experiments.commands.refusal import Mendable, Refused
from experiments.pages import standing, sweep
from experiments.storage import configuration, failure, identity, record
from experiments.storage.configuration import composed
from experiments.storage.files import held, lock
from experiments.study import plan


def recorded(folder, number, seconds):
    """A run's folder with a record that holds, and its name."""
    saved = {
        "metrics": {},
        "config": {},
        "identity": {"number": number},
        "commit": "",
        "device": "",
        "seconds": seconds,
        "versions": {},
        "files": {},
    }
    saved["checksum"] = identity.digest(saved)
    name = identity.digest(saved["identity"])
    (folder / name).mkdir(parents=True)
    (folder / name / "report.json").write_bytes(record.sealed(saved))
    return name


@pytest.fixture
def runs(tmp_path):
    """Two methods' runs in every state but running, in a folder of own ones and one of recorded ones."""
    own, others = tmp_path / "own", tmp_path / "recorded"
    done, elsewhere = recorded(own, 0, 10.0), recorded(others, 1, 40.0)
    both = recorded(own, 2, 20.0)
    recorded(others, 2, 99.0)
    (own / "odd").mkdir()
    (own / "odd" / "failed.json").write_text("{}")
    jobs = [(done, "fields"), (both, "fields"), (elsewhere, "labels"), ("odd", "fields"), ("none", "labels")]
    return own, others, [*jobs, ("new", "unheard of")]


def test_every_run_is_in_one_state_and_own_ones_come_first(runs):
    own, others, jobs = runs
    found = standing.judged("toy", jobs, own, others, {})
    assert [run.state for run in found.runs] == ["done", "done", "recorded", "failed", "missing", "missing"]
    assert [run.seconds for run in found.runs[:3]] == [10, 20, 40]
    assert found.seconds == 70
    assert not found.complete


def test_time_to_go_is_the_mean_of_own_runs_or_else_of_recorded_ones(runs):
    own, others, jobs = runs
    # What is recorded elsewhere the experiment's command measures again, with what is missing.
    assert standing.judged("toy", jobs, own, others, {}).to_go() == (15 + 40 + 40, 1)
    again = standing.judged("toy", jobs, own, others, {}, recorded_count=False)
    assert again.to_go() == (15 + 40 + 40, 1)
    assert again.counts == {"done": 2, "failed": 1, "missing": 3}


def test_a_run_is_running_while_its_lock_is_held_and_no_longer(runs):
    own, others, jobs = runs
    with lock(own / "none"):
        assert standing.judged("toy", jobs, own, others, {}).counts["running"] == 1
    assert (own / ".locks" / "none.lock").exists()
    assert standing.judged("toy", jobs, own, others, {}).counts["running"] == 0


def test_to_ask_for_a_lock_makes_no_file(tmp_path):
    assert not held(tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_a_damaged_record_counts_as_failed(runs):
    own, others, jobs = runs
    (own / jobs[0][0] / "report.json").write_text("{")
    assert standing.judged("toy", jobs, own, others, {}).runs[0].state == "failed"


def test_all_that_is_recorded_is_complete_and_takes_no_time(runs):
    own, others, jobs = runs
    found = standing.judged("toy", jobs[:3], own, others, {})
    assert found.complete
    assert found.to_go() == (0, 0)


def test_a_folder_that_is_not_there_is_named_with_what_belongs_into_it(tmp_path, monkeypatch):
    monkeypatch.setattr(sweep, "page", lambda name: {"needs": {"zoo.root": "a hundred photographs"}})
    config = {"zoo": {"root": str(tmp_path / "none")}}
    said = standing.missing("toy", config, {})
    assert said == {f"zoo.root={tmp_path / 'none'}": "a hundred photographs"}
    assert not standing.missing("toy", config, {"zoo.root": str(tmp_path)})
    assert not standing.missing("toy", config, {"zoo.download": "true"})


def test_the_table_shows_counts_times_and_needs_as_plain_text(runs, capsys):
    own, others, jobs = runs
    status.show([standing.judged("toy", jobs, own, others, {"root=data": "photographs, [any] size"})])
    head, row, needs = capsys.readouterr().out.splitlines()
    assert head.split() == ["experiment", *standing.STATES, "measured", "to", "go"]
    assert row.split() == ["toy", "2", "1", "0", "0", "1", "2", "0:01:10", "0:01:35", "and", "1", "unknown"]
    assert needs == "toy needs root=data: photographs, [any] size"


def test_what_is_refused_for_a_stated_reason_is_neither_missing_nor_failed_nor_to_go(runs, capsys):
    own, others, jobs = runs
    (own / "odd" / "failed.json").write_text(json.dumps({"reason": "no spread", "refused": True}))
    failure.keep_refusals(others, {"none": "no classes", jobs[2][0]: "by now recorded"})
    found = standing.judged("toy", jobs[:-1], own, others, {})
    assert found.counts == {"done": 2, "recorded": 1, "refused": 2}
    assert found.complete
    assert found.to_go() == (0, 0)
    status.show([found])
    assert "toy refuses labels, 1 of its runs: no classes" in capsys.readouterr().out


def test_what_is_recorded_is_measured_with_what_is_missing_and_counted_in_what_is_to_go():
    place = standing.Place
    runs = [place("fields", "recorded", 5.0), place("fields", "missing", None), place("labels", "refused", None, "no")]
    paces = {"fields": 5.0}
    assert standing.Standing("toy", runs, {}, paces).to_go() == (10.0, 0)
    assert standing.Standing("toy", runs[:1], {}, paces).to_go() == (0, 0)


@pytest.mark.parametrize(
    ("error", "expected"),
    [(ValueError("no"), "no"), (OSError("full"), None), (KeyError("a"), None), (Mendable("x is damaged"), None)],
)
def test_a_mistake_is_a_refusal_and_neither_a_bug_nor_what_is_wrong_on_disk_is(error, expected, tmp_path):
    with pytest.raises(type(error)), failure.kept(tmp_path, dict.fromkeys(("name", "testbed", "method", "seed"))):
        raise error
    assert failure.refused(tmp_path) == expected


def test_a_run_without_its_data_is_no_refusal(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = composed("experiment=ip_protection_paper", "method=modelgif", "wandb=disabled")
    with pytest.raises(Refused, match="cannot read CIFAR-10"):
        run.main(config)
    (failed,) = tmp_path.glob("results/runs/*/failed.json")
    assert failure.refused(failed.parent) is None


def test_a_study_counts_its_trials_and_what_they_took(tmp_path, monkeypatch):
    file = plan.file("field_options", tmp_path / "runs")
    planned = plan.plan("field_options")["trials"]
    plan.keep(file, [{"state": "complete", "seconds": 4.0, "values": [1.0]}, {"state": "refused", "seconds": None}])
    found = standing.of_study("field_options", tmp_path / "runs", tmp_path / "recorded")
    assert found.counts == {"done": 2, "missing": planned - 2}
    assert found.to_go() == (4.0 * (planned - 2), 0)
    plan.keep(plan.file("field_options", tmp_path / "recorded"), [{"seconds": 9.0}])
    assert standing.of_study("field_options", tmp_path / "runs", tmp_path / "recorded").paces == {"trial": 4.0}
    file.write_text(file.read_text().replace("4.0", "5.0"))
    with pytest.raises(ValueError, match=f"{file.name} is damaged"):
        plan.trials(file)
    damaged = standing.of_study("field_options", tmp_path / "runs", tmp_path / "recorded")
    assert damaged.counts == {"recorded": 1, "failed": planned - 1}


def test_of_what_nothing_is_known_no_time_is_told(tmp_path):
    found = standing.judged("toy", [("none", "fields")], tmp_path, tmp_path, {})
    assert status.to_go(found) == "—"


def test_an_unknown_experiment_is_refused_with_the_nearest(capsys):
    assert status.main(["unlerning"]) == 1
    assert "error: there is no experiment 'unlerning'; did you mean unlearning? There are " in capsys.readouterr().err


@pytest.mark.parametrize("word", ["device=cuda", "testbed.sampls.root=data", "cache=elsewhere"])
def test_a_setting_that_says_nothing_of_where_data_lie_is_refused(word, capsys):
    assert status.main(["ip_protection_paper", word]) == 1
    assert f"error: {word.partition('=')[0]} is not asked for here; " in capsys.readouterr().err


def test_a_composed_sweep_is_kept_and_composed_again_after_a_change(tmp_path, monkeypatch):
    calls = []
    keep = partial(configuration.kept, "toy", lambda: calls.append(1) or [{"seed": len(calls)}], tmp_path)
    assert keep() == keep() == [{"seed": 1}]
    monkeypatch.setattr(configuration, "_sources", lambda: "changed")
    assert keep() == keep() == [{"seed": 2}]
    (tmp_path / "toy.json").write_text("half")
    assert keep() == [{"seed": 3}]
    assert [file.name for file in tmp_path.iterdir()] == ["toy.json"]


def test_what_is_kept_of_a_sweep_is_what_is_composed():
    assert sweep.jobs("demo") == sweep._composed("demo", ())


@pytest.mark.parametrize("name", configuration.names("page"))
def test_every_page_says_its_scale_itself(name):
    lines = (configuration.ROOT / "conf" / "page" / f"{name}.yaml").read_text().splitlines()
    said = [line.removeprefix("scale: ") for line in lines if line.startswith("scale: ")]
    assert len(said) == 1
    assert said[0] in standing.SCALES
    assert name.rpartition("_")[2] not in standing.SCALES or name.endswith(f"_{said[0]}")


@pytest.mark.parametrize("name", configuration.names("page"))
def test_a_page_names_every_folder_that_its_experiment_needs(name):
    config = standing.shared(name)
    needs = sweep.page(name).get("needs") or {}
    there = {sweep.look_up(config, key) for key in needs}
    fetched = {config["testbed"]["zoo"].get("root")} if "url" in config["testbed"]["zoo"] else set()
    asked = {place for place in record.places(config["testbed"]).values() if place} - fetched
    assert asked == there, json.dumps(sorted(asked))


def test_what_processes_compose_is_found_afterwards():
    names = ["smoke", "unlearning_curves"]
    for name in names:
        (configuration.SWEEPS / f"{name}.json").unlink(missing_ok=True)
    sweep.compose([*names, "no experiment"])
    assert all(map(configuration.is_kept, names))
    assert not configuration.is_kept("no experiment")
