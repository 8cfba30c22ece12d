"""A hub's vectors have the recorded distances, and engines find in it what there is to find."""

import re

import numpy as np
import pytest
from conftest import ROOT

from benchmarks import hub


@pytest.fixture(scope="module")
def distances():
    return hub.recorded()


@pytest.fixture(scope="module")
def content(distances):
    return hub.hub(2000, 512, 50, distances)


def test_vectors_have_unit_length_and_lineages_ten_members(content):
    assert content.vectors.shape == (2000, 512)
    assert np.allclose(np.linalg.norm(content.vectors, axis=1), 1, atol=1e-4)
    assert set(np.bincount(content.lineages)) == {10}


def test_distances_within_and_between_lineages_are_those_recorded(content, distances):
    roots, children = content.vectors[:200], content.vectors[200:400]
    within = 1 - (roots * children).sum(1)
    assert np.quantile(within, [0.1, 0.5, 0.9]) == pytest.approx(
        np.quantile(distances.derived, [0.1, 0.5, 0.9]), abs=0.1
    )
    between = 1 - (roots @ roots.T)[~np.eye(200, dtype=bool)]
    assert between.mean() == pytest.approx(distances.unrelated.mean(), abs=0.05)
    assert distances.derived.mean() < distances.unrelated.mean()


def test_every_engine_finds_and_the_exact_one_finds_everything(content):
    pytest.importorskip("faiss", reason="an extra")
    pytest.importorskip("usearch", reason="an extra")
    table = hub.measure(content)
    assert table.loc["faiss, exact", "Recall at 10"] == 1
    assert (table["Recall at 10"] > 0.2).all()
    assert (table[["Search (ms)", "Bytes a model"]] > 0).all().all()


def test_an_engine_that_is_not_installed_is_named_with_the_remedy(monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)
    with pytest.raises(SystemExit):
        hub.main(["--sizes", "400"])
    assert "pip install -e '.[hub]' -c constraints.txt" in capsys.readouterr().err


def test_the_pages_python_runs():
    pytest.importorskip("faiss", reason="an extra")
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/hub.md").read_text(), flags=re.DOTALL)
    scope = {}
    exec(code, scope)
    assert scope["found"][0, 0] == 7
    assert scope["squared"][0, 0] == 0
    assert scope["squared"][0, 1] / 2 > 0.5
