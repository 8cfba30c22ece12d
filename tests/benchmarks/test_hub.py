"""A hub's vectors have the recorded distances, and engines find in it what there is to find."""

import re
import sys

import numpy as np
import pytest
from conftest import ROOT

from benchmarks import hub


@pytest.fixture(scope="module")
def distances():
    return hub.recorded()


@pytest.fixture(scope="module")
def content(distances):
    return hub.hub(2000, 512, 150, distances)


def test_vectors_have_unit_length_and_lineages_ten_members(content):
    assert content.vectors.shape == (2000, 512)
    assert np.allclose(np.linalg.norm(content.vectors, axis=1), 1, atol=1e-4)
    assert set(np.bincount(content.lineages)) == {10}


def test_distances_within_and_between_lineages_are_those_recorded(content, distances):
    found = 1 - (content.queries * content.vectors[content.wanted]).sum(1)  # to the root, whose derivative each is
    for position, recorded in enumerate(distances.derived.values()):
        assert np.median(found[content.kinds == position]) == pytest.approx(np.median(recorded), abs=0.1)
    between = 1 - content.vectors[:200] @ content.vectors[:200].T
    same = np.arange(200)[:, None] % hub.ARCHITECTURES == np.arange(200) % hub.ARCHITECTURES
    assert between[same & ~np.eye(200, dtype=bool)].mean() == pytest.approx(distances.same_architecture, abs=0.03)
    assert between[~same].mean() == pytest.approx(distances.other_architecture, abs=0.03)
    assert max(np.median(known) for known in distances.derived.values()) < distances.same_architecture


def test_every_engine_finds_and_the_exact_one_finds_everything(content):
    pytest.importorskip("faiss", reason="an extra")
    pytest.importorskip("usearch", reason="an extra")
    table = hub.measure(content, cores=1)
    assert table.loc["faiss, exact", "Recall at 10"] == 1
    assert (table["Recall at 10"] > 0.2).all()
    assert (table[["Search (ms)", "Bytes a model"]] > 0).all().all()
    kinds = table[[f"Kin first, {kind}" for kind in hub.KINDS]]
    assert (kinds.min(axis=1) <= table["Kin first"]).all()
    assert (table["Kin first"] <= kinds.max(axis=1)).all()


def test_an_engine_that_is_not_installed_is_named_with_the_remedy(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(SystemExit):
        hub.main(["--toy"])
    assert "pip install -e '.[hub]' -c constraints.txt" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--queries", "0"], ["--sizes", "1000"], ["--dims", "8"]])
def test_impossible_settings_are_refused(arguments, capsys):
    with pytest.raises(SystemExit):
        hub.main(arguments)
    assert "queries at most a tenth of the models" in capsys.readouterr().err


def test_the_pages_python_runs():
    pytest.importorskip("faiss", reason="an extra")
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/hub.md").read_text(), flags=re.DOTALL)
    scope = {}
    exec(code, scope)
    assert scope["found"][0, 0] == 7
    assert scope["squared"][0, 0] == 0
    assert scope["squared"][0, 1] / 2 > 0.5
