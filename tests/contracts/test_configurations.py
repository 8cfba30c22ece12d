"""Every configuration composes, every experiment is a set of distinct runs, every table is what its records say."""

import pytest
from conftest import ROOT, options
from hydra.errors import InstantiationException
from hydra.utils import get_method, instantiate

from experiments.pages import __main__ as pages
from experiments.pages import page, sweep
from experiments.storage import record

FORGETTING = {name for name in options("testbed/zoo") if name.startswith("unlearning") or name == "toy_forgetting"}


@pytest.mark.parametrize("zoo", options("testbed/zoo"))
def test_a_zoo_fits_one_testbed_and_the_others_say_why_not(zoo, config):
    fitting, refusals = [], []
    for testbed in options("testbed"):
        forgetting = testbed == "unlearning" and zoo in FORGETTING  # these bring the images
        samples = [] if forgetting else ["testbed/samples=toy"]
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
    assert all("role" in refusal or "'samples'" in refusal for refusal in refusals)


@pytest.mark.parametrize("samples", ["digits", "toy"])
def test_a_pool_of_labelled_samples_lies_in_the_unit_range(samples, config):
    pool = instantiate(config(f"testbed/samples={samples}")["testbed"]["samples"])
    assert pool.inputs.ndim == 4
    assert 0 <= pool.inputs.min() < pool.inputs.max() <= 1
    assert len(pool.labels) == len(pool.inputs)


@pytest.mark.parametrize("testbed", options("testbed"))
def test_a_testbed_declares_the_pictures_of_its_runs_and_they_name_no_run(testbed, config):
    composed = config(f"testbed={testbed}")
    assert composed["pictures"]
    assert all(callable(get_method(function)) for function in composed["pictures"].values())
    assert record.folder(composed | {"pictures": {}}) == record.folder(composed)


@pytest.mark.parametrize("experiment", options("experiment"))
def test_every_job_of_an_experiment_is_a_run_of_its_own(experiment, tmp_path):
    runs = sweep.experiment(experiment, tmp_path).runs
    assert len({run.folder for run in runs}) == len(runs) > 0
    assert {run.config["name"] for run in runs} == {experiment}


@pytest.mark.parametrize("table", sorted((ROOT / "results" / "tables").glob("*.md")), ids=lambda table: table.stem)
def test_a_table_is_what_its_records_say(table):
    (name,) = [name for name in options("page") if sweep.page(name)["file"] == table.stem]
    found = sweep.experiment(name, pages.RECORDED)
    assert found.done
    assert page.markdown(found, pages.RECORDED) == table.read_text()


def test_every_recorded_run_is_on_a_page():
    shown = {run.folder for name in options("page") for run in sweep.experiment(name, pages.RECORDED).runs}
    stray = {file.parent for file in pages.RECORDED.glob("*/report.json")} - shown
    assert not stray, f"no page shows these any more, remove them: {' '.join(sorted(map(str, stray)))}"
