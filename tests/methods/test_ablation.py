"""Every part that the ablation changes has an effect of its own."""

from itertools import combinations

import pytest
import torch
from conftest import TOY
from hydra.utils import instantiate

from experiments.offers import offered
from experiments.pages import sweep
from experiments.storage import configuration


@pytest.fixture(scope="module")
def distances():
    """Variant -> distances of a victim and a stranger of the toy zoo, one a reference point."""
    testbed = instantiate(configuration.resolved(*TOY)["testbed"], _convert_="all")
    models = [testbed.zoo[name].load() for name in ("victim", "unrelated_original-0")]
    found = {}
    for job in sweep.jobs("ip_ablation"):
        if job["seed"] == 0:
            method = instantiate(job["method"], _convert_="all")
            queries = method.queries(offered(method, testbed))
            fields = [method.represent(model, queries) for model in models]
            found[job["method"]["label"]] = method.distance(*fields)
    return found


def test_every_variant_measures_and_no_two_measure_the_same(distances):
    for label, found in distances.items():
        assert found.shape == (8,), label
        assert torch.isfinite(found).all(), label
    for one, other in combinations(distances, 2):
        assert (distances[one] - distances[other]).abs().max() > 1e-5, f"{one} / {other}"


def test_every_part_of_the_field_and_its_distance_is_varied():
    jobs = [job["method"] for job in sweep.jobs("ip_ablation") if job["seed"] == 0]
    first, settings = jobs[0], ("steps", "rule", "cumulative", "times_direction", "readout")
    for setting in settings:
        assert any(job["represent"][setting] != first["represent"][setting] for job in jobs), setting
    assert any(job["queries"]["start"] != first["queries"]["start"] for job in jobs)
    assert any(job["distance"] != first["distance"] for job in jobs)
    for job in jobs:
        parts = [job["represent"][setting] != first["represent"][setting] for setting in settings]
        parts += [job["queries"] != first["queries"], job["distance"] != first["distance"]]
        assert sum(parts) <= 1 or job["label"] == "Neither"
