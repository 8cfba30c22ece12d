"""Every configuration composes, every experiment is a set of distinct runs, every table is what its records say."""

from pathlib import Path

import pytest
from conftest import ROOT, options
from hydra.errors import InstantiationException
from hydra.utils import instantiate

from experiments.pages import sweep, tables
from experiments.storage import record


@pytest.mark.parametrize("zoo", options("testbed/zoo"))
def test_a_zoo_fits_one_testbed_and_the_others_say_why_not(zoo, config):
    fitting, refusals = [], []
    for testbed in options("testbed"):
        samples = [] if testbed == "unlearning" else ["testbed/samples=toy"]  # its zoo brings the images
        try:
            composed = config(f"testbed={testbed}", f"testbed/zoo={zoo}", *samples)
            made = instantiate(composed["testbed"], _convert_="all")
        except InstantiationException as refusal:
            refusals.append(str(refusal.__cause__))
            continue
        fitting.append(testbed)
        assert all(name == model.name for name, model in made.zoo.items())
        assert made.pairs()
        assert all(source in made.zoo and target in made.zoo for source, target in made.pairs())
    assert len(fitting) == 1
    assert all("role" in refusal for refusal in refusals)


@pytest.mark.parametrize("samples", ["digits", "toy"])
def test_a_pool_of_labelled_samples_lies_in_the_unit_range(samples, config):
    pool = instantiate(config(f"testbed/samples={samples}")["testbed"]["samples"])
    assert pool.inputs.ndim == 4
    assert 0 <= pool.inputs.min() < pool.inputs.max() <= 1
    assert len(pool.labels) == len(pool.inputs)


@pytest.mark.parametrize("experiment", options("experiment"))
def test_every_job_of_an_experiment_is_a_run_of_its_own(experiment, tmp_path):
    jobs = sweep.runs(experiment, tmp_path)
    folders = {record.folder(config) for config, _ in jobs}
    assert len(folders) == len(jobs) > 0
    assert {config["name"] for config, _ in jobs} == {experiment}


@pytest.mark.parametrize("page", sorted((ROOT / "results" / "tables").glob("*.md")), ids=lambda page: page.stem)
def test_a_table_is_what_its_records_say(page, monkeypatch):
    monkeypatch.chdir(ROOT)
    text = page.read_text()
    for experiment in tables.experiments():
        found = sweep.runs(experiment, records := source(text))
        if found[0][0]["table"]["file"] == page.stem:
            assert tables.markdown(experiment, found, records) == text
            return
    pytest.fail(f"no experiment makes {page}")


def test_the_readme_shows_the_recorded_tables():
    readme = (ROOT / "README.md").read_text()
    pages = {page.stem: page.read_text().strip() for page in (ROOT / "results" / "tables").glob("*.md")}
    recorded = {name: text for name, text in pages.items() if source(text) == tables.RECORDED}
    assert tables.fill_readme(readme, recorded) == readme


def test_a_combination_that_has_not_run_is_a_dash(tmp_path):
    shown = tables.table(sweep.runs("ip_protection", tmp_path))
    assert set(shown["Extract-L"]) == {"—"}
    assert set(shown["Runs"]) == {"0 of 3"}


def test_a_cell_is_the_mean_over_seeds_with_the_mean_interval():
    seeds = [{"auc/x": 0.5, "auc/x/low": 0.3, "auc/x/high": 0.6}, {"auc/x": 0.7, "auc/x/low": 0.5, "auc/x/high": 0.8}]
    assert tables.cell(seeds, "auc/x") == "0.60 [0.40, 0.70]"
    assert tables.cell([], "auc/x") == "—"


def source(page: str) -> Path:
    return Path(page.rstrip().removesuffix("`.").rsplit("`", 1)[1])
