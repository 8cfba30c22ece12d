"""The benchmark of pairwise comparison, in small."""

import json

import pytest

from benchmarks import report


@pytest.mark.slow
def test_the_benchmark_runs_and_says_what_every_method_takes(command, tmp_path):
    done = command("-m", "benchmarks.pairwise", "--quick")
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / report.folder() / "pairwise_quick.json").read_text())
    rows = {row["Method"]: row for row in content["tables"]["Methods"]}
    assert rows.keys() == {"modelgif", "agreement"}
    assert all(row["Pairs"] == 3 and 0 < row["Memory (GB)"] < 3 for row in rows.values())
    assert rows["modelgif"]["Gradients a model"] == 4 * 2
