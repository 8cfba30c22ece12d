"""The command line: runs, refusals, kills. Each program starts in an empty folder."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from conftest import ROOT, TOY
from hydra.core.hydra_config import HydraConfig

import run
from experiments import embed, prepare
from experiments.commands.refusal import Refused
from experiments.samples import toy
from experiments.storage import record
from experiments.storage.configuration import composed
from experiments.testbeds.ip_protection.testbed import IPProtection

RUN = str(ROOT / "run.py")
QUICK = [*TOY, "wandb=disabled"]

REFUSED = {
    "budget beyond the pool": (["testbed.budget=161"], "between 1 and the 160 samples of the pool, not 161"),
    "no budget": (["testbed.budget=0"], "between 1 and the 160 samples of the pool, not 0"),
    "too few candidates": (
        ["method=modelgif/separating", "method.queries.choose.candidates=4"],
        "need budget <= candidates <= pool, not 8 <= 4 <= 160",
    ),
    "an extraction that is no attack": (["testbed.extractions=[extract_q]"], "extractions: 'extract_q' is no attack; "),
    "empty role": (["testbed.zoo.derived=[finetune_a]"], "no model of the zoo has the role"),
    "role that selects but does not exist": (
        ["method=modelgif/separating", "method.roles.near=[nosuch]"],
        "ModelGiF, separating: no model of the zoo has the role 'nosuch' (near); the roles are",
    ),
    "scored role that selects": (
        ["method=modelgif/separating", "method.roles.far=[unrelated_original]"],
        "roles ['unrelated_original'] (far) are scored by this testbed",
    ),
    "images of another size": (["testbed/samples=digits"], "samples (1, 20, 20) do not fit the model victim"),
    "non-finite images": (["testbed.samples._target_=test_run.broken_images"], "not finite"),
    "no steps": (["method.represent.steps=0"], "at least 1 step"),
    "option that the method lacks": (
        ["+method.represent.nosuch=1"],
        "extract_field has no setting 'nosuch'; it has model, paths, steps, rule",
    ),
    "a part of the zoo": (["shards=2"], "shard=0 shards=2 is a part of a zoo, for experiments.prepare and experiments"),
    "a part's number": (["shard=1"], "shard=1 shards=1 is a part of a zoo, "),
    "unknown device": (["device=nosuch"], "device 'nosuch' is not to be had here"),
    "results are a file": (["results=taken"], "taken"),
    "read-only results": (["results=/proc/nowhere"], "/proc/nowhere"),
}


def broken_images(**_):
    samples = toy.toy()
    samples.inputs[:, 0, 0, 0] = torch.nan
    return samples


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_ends_in_one_clear_line_and_no_record(case, tmp_path, monkeypatch):
    arguments, expected = REFUSED[case]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("")
    config = composed(*QUICK, *arguments)
    with pytest.raises(Refused) as refusal:
        run.main(config)
    assert expected in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert not list(tmp_path.rglob("report.json"))
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.parametrize("program", [prepare, embed])
@pytest.mark.parametrize("word", ["rerun=true", "dry_run=true"])
def test_what_only_a_run_heeds_is_refused_by_programs_that_make_no_record(program, word, tmp_path):
    with pytest.raises(Refused, match=f"error: {word} is for run.py, which .*; leave it out here"):
        program.main(composed(*QUICK, word, f"results={tmp_path}", f"cache={tmp_path}"))


@pytest.mark.parametrize("word", ["method.needs=[]", "++method.access=label", "~method.needs"])
def test_what_a_method_declares_is_no_setting_where_it_decides_which_pairs_are_measured(word, tmp_path, monkeypatch):
    chosen = ["testbed=pairwise", "method=agreement", f"results={tmp_path}", "wandb=disabled"]
    monkeypatch.setattr(HydraConfig.instance(), "cfg", composed(*chosen, word, hydra=True))
    with pytest.raises(
        Refused, match=r"method\.(needs|access).* would leave out other pairs of this testbed under the"
    ):
        run.main(composed(*chosen, word))
    run.refuse_declared(composed(*QUICK), [word])  # here it decides nothing, or the run is refused
    run.refuse_declared(composed(*chosen), ["method.represent.seed=1", "testbed.budget=9"])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["method=modelgif/skecth"],
            "error: method has no option 'modelgif/skecth'; did you mean modelgif/sketch? It has",
        ),
        (["testbed.bugdet=1"], "error: there is no key 'testbed.bugdet'; did you mean testbed.budget?"),
        ([*QUICK, "testbed.budget=161"], "error: testbed.budget must lie between 1 and the 160 samples"),
    ],
)
def test_the_command_line_refuses_without_a_traceback_and_with_a_non_zero_exit(arguments, expected, command, tmp_path):
    done = command(RUN, *arguments)
    assert done.returncode != 0
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("report.json"))


def test_a_second_call_does_nothing_and_says_so_and_rerun_gives_the_same_numbers(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    config, again = composed(*QUICK), composed(*QUICK, "rerun=true")
    run.main(config)
    (report,) = tmp_path.glob("results/runs/*/report.json")
    saved = json.loads(report.read_text())
    assert record.ENTRIES | {"images", "checksum"} == set(saved)
    assert {"distances.csv", "groups.png", "roc.png", "budget.png"} <= {file.name for file in report.parent.iterdir()}
    stamp, table = report.stat().st_mtime_ns, (report.parent / "distances.csv").read_bytes()
    shutil.rmtree(report.parent.parent / ".locks")
    run.main(config)
    assert "finished before" in capsys.readouterr().out
    assert report.stat().st_mtime_ns == stamp
    assert not (report.parent.parent / ".locks").exists()  # it may lie where nothing can be written
    run.main(again)
    assert report.stat().st_mtime_ns != stamp
    assert (report.parent / "distances.csv").read_bytes() == table


def test_a_run_that_is_measured_again_does_not_look_finished_meanwhile(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run.main(composed(*QUICK))
    monkeypatch.setattr(record, "save", lambda folder, *_, **__: seen.append(record.finished(folder)) or 1 / 0)
    seen = []
    with pytest.raises(ZeroDivisionError):
        run.main(composed(*QUICK, "rerun=true"))
    assert seen == [None]
    assert not list(tmp_path.rglob("report.json"))


def test_what_was_measured_is_kept_though_it_cannot_be_scored(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def refused(testbed, distances):
        raise ValueError("no score")

    with monkeypatch.context() as patched:
        patched.setattr(IPProtection, "score", refused)
        with pytest.raises(Refused, match="no score") as refusal:
            run.main(composed(*QUICK))
    (kept,) = tmp_path.rglob("distances.csv")
    measured = kept.read_bytes()
    assert str(kept.relative_to(tmp_path)) in str(refusal.value)
    assert not list(tmp_path.rglob("report.json"))
    run.main(composed(*QUICK))
    assert kept.read_bytes() == measured


def kept_in(folder):
    return toy.toy(size=160, seed=int(Path(folder, "seed").read_text()))


def on_toys(folder):
    wanted = ["testbed/zoo=toy", "~testbed/samples", "testbed.budget=8", "wandb=disabled"]
    return [*wanted, f"+testbed.samples={{_target_: test_run.kept_in, folder: {folder}}}"]


def test_a_finished_run_is_not_passed_off_as_one_on_other_images(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def on(folder, seed):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "seed").write_text(seed)
        return composed(*on_toys(folder))

    run.main(on("here", "1"))
    run.main(on("copied", "1"))
    assert "finished before" in capsys.readouterr().out
    with pytest.raises(Refused) as refusal:
        run.main(on("others", "2"))
    assert "was measured on other images (here)" in str(refusal.value)
    (tmp_path / "here" / "seed").write_text("2")
    with pytest.raises(Refused, match="was measured on other images"):
        run.main(composed(*on_toys("here")))
    (tmp_path / "here" / "seed").unlink()
    (tmp_path / "here").rmdir()
    run.main(composed(*on_toys("here")))
    assert "finished before" in capsys.readouterr().out


def cosine(field, other):
    return torch.zeros(len(field))


def test_a_finished_run_is_not_passed_off_as_one_with_another_function_of_the_same_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run.main(composed(*QUICK))
    with pytest.raises(Refused, match=r"with modelgif_core\.distance\.cosine, and test_run\.cosine is another"):
        run.main(composed(*QUICK, "method.distance._target_=test_run.cosine"))


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [["hydra/launcher=basic"], []], ids=["one", "two"])
def test_the_smoke_experiment_runs_both_its_methods_and_each_is_a_run_of_wandb_offline(launcher, command, tmp_path):
    done = command(RUN, "experiment=smoke", *launcher)
    assert done.returncode == 0, done.stderr
    recorded = {file.parent.name for file in tmp_path.glob("results/runs/*/report.json")}
    sent = [file.stem.removeprefix("run-") for file in tmp_path.glob("results/wandb/offline-run-*/*.wandb")]
    assert len(recorded) == 2
    assert sorted(sent) == sorted(recorded)


def test_prepare_says_how_many_models_are_ready(command):
    done = command("-m", "experiments.prepare", *TOY)
    assert done.returncode == 0, done.stderr
    assert "64 models are ready, 0 of them new" in done.stderr
