"""Own runs have pages of their own; what is under version control changes when told to, and never to the worse."""

import json
import shutil

import pytest
from conftest import ROOT

from experiments.pages import __main__ as pages
from experiments.pages import page, sweep
from experiments.pages.documents.blocks import filled
from experiments.storage import identity

NAME, PAGE = "task_probe", "task_probe_mini"
RUNS = [run.folder for run in sweep.experiment(NAME, ROOT / "results" / "recorded").done]
"""The recorded runs of a small experiment."""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of one recorded experiment, whose page is in its README; the command is given elsewhere."""
    folder = tmp_path / "project"
    for run in RUNS:
        shutil.copytree(run, folder / "results" / "recorded" / run.name)
    table = (ROOT / "results" / "tables" / f"{PAGE}.md").read_text()
    (folder / "results" / "tables").mkdir()
    (folder / "results" / "tables" / f"{PAGE}.md").write_text(table)
    (folder / "README.md").write_text(filled(f"<!-- table: {PAGE} -->\n<!-- end -->\n", ROOT / "results"))
    for module in (pages, page):
        monkeypatch.setattr(module, "ROOT", folder)
    monkeypatch.setattr(pages, "RESULTS", folder / "results")
    monkeypatch.setattr(pages, "RECORDED", folder / "results" / "recorded")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return folder


def tracked(project):
    """Everything under version control, but the figures."""
    files = [project / "README.md", *project.glob("results/tables/*"), *project.glob("results/recorded/*/*")]
    return {file.relative_to(project).as_posix(): file.read_bytes() for file in files}


def measured_again(run, folder):
    """The same run with another number, as if measured here."""
    shutil.copytree(run, folder / run.name)
    saved = json.loads((run / "report.json").read_text())
    saved["metrics"]["spearman_without"] = 0.123
    del saved["checksum"]
    saved["checksum"] = identity.digest(saved)
    (folder / run.name / "report.json").write_text(json.dumps(saved, indent=1))


def test_results_that_lie_elsewhere_are_named_as_every_other_command_names_them(project, monkeypatch, tmp_path, capsys):
    measured_again(RUNS[0], tmp_path / "own" / "runs")
    assert pages.main([NAME, f"results={tmp_path / 'own'}"]) == 0
    assert "> Own runs alone, 1 of" in capsys.readouterr().out
    assert (tmp_path / "own" / "pages" / "tables" / f"{PAGE}.md").exists()


@pytest.mark.parametrize("word", ["testbed.zoo.modles=[x]", "testbed.zoo.models=[a"])
def test_a_setting_that_cannot_be_meant_ends_in_one_line(word, capsys):
    assert pages.main(["pairwise", word]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert len(error.splitlines()) == 1


def test_a_page_of_own_runs_says_so_and_hides_no_recorded_one(project, monkeypatch, capsys):
    before = tracked(project)
    monkeypatch.chdir(project)
    measured_again(RUNS[0], project / "results" / "runs")
    assert pages.main([NAME]) == 0
    text = (project / "results" / "pages" / "tables" / f"{PAGE}.md").read_text()
    note = f"> Own runs alone, 1 of {len(RUNS)}; {len(RUNS) - 1} are missing. The {len(RUNS)} recorded ones: "
    assert f"{note}`results/tables/{PAGE}.md`." in text
    assert text in capsys.readouterr().out
    assert tracked(project) == before


def test_without_own_runs_the_recorded_page_is_shown_and_nothing_is_written(project, tmp_path, capsys):
    assert pages.main([NAME]) == 0
    assert (project / "results" / "tables" / f"{PAGE}.md").read_text() in capsys.readouterr().out
    assert not list((tmp_path / "elsewhere").iterdir())


def test_recording_from_any_folder_works_on_the_project_and_changes_nothing_that_is_up_to_date(project, tmp_path):
    before = tracked(project)
    assert pages.main([NAME, "--record"]) == 0
    assert tracked(project) == before
    assert not list((tmp_path / "elsewhere").iterdir())


def test_runs_are_recorded_with_their_page_and_the_readme(project):
    for run in RUNS:
        measured_again(run, project / "results" / "runs")
    assert pages.main([NAME, "--record"]) == 0
    for file in ("README.md", f"results/tables/{PAGE}.md"):
        assert "| 0.12 [" in (project / file).read_text()
    assert pages.main([NAME, "--record"]) == 0


@pytest.mark.parametrize("fewer", [[], ["--fewer"]], ids=["", "told to"])
def test_some_of_the_recorded_runs_are_replaced_only_if_told_to(fewer, project, capsys):
    before = tracked(project)
    measured_again(RUNS[0], project / "results" / "runs")
    assert pages.main([NAME, "--record", *fewer]) == (0 if fewer else 1)
    assert (tracked(project) == before) == (not fewer)
    if not fewer:
        expected = f"error: {NAME}: 1 to record, but {len(RUNS)} runs are recorded; finish the others by"
        assert expected in capsys.readouterr().err


def test_a_page_does_not_lose_runs_unless_told_to(project, capsys):
    shutil.rmtree(project / "results" / "recorded" / RUNS[0].name)
    before = tracked(project)
    assert pages.main([NAME, "--record"]) == 1
    assert f"{len(RUNS) - 1} to record, but {len(RUNS)} runs are recorded" in capsys.readouterr().err
    assert tracked(project) == before
    assert pages.main([NAME, "--record", "--fewer"]) == 0
    assert tracked(project) != before


def test_what_never_ran_has_no_page_and_empties_no_table(project, capsys):
    shutil.rmtree(project / "results" / "recorded")
    before = tracked(project)
    for name in (NAME, "task_relatedness_paper"):
        for told in ([], ["--record", "--fewer"]):
            assert pages.main([name, *told]) == 0
            assert f"{name}: nothing has run yet; python run.py experiment={name}" in capsys.readouterr().out
    assert tracked(project) == before


def test_a_damaged_record_is_named_and_the_other_experiments_go_on(project, monkeypatch, capsys):
    monkeypatch.chdir(project)
    (project / "results" / "recorded" / RUNS[0].name / "distances.csv").write_text("")
    assert pages.main([NAME, "ip_budget"]) == 1
    said = capsys.readouterr()
    assert f"{RUNS[0].name}/distances.csv is damaged" in said.err
    assert len(said.err.splitlines()) == 1
    assert "ip_budget: nothing has run yet" in said.out
