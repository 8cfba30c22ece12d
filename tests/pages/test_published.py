import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.pages.published import recompute as published
from experiments.pages.published.number import PublishedNumber
from experiments.pages.published.recompute import main


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(published.PUBLISHED, tmp_path / "published"))


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))


def test_every_published_figure_comes_out_without_torch(command):
    program = (
        "import sys, experiments.pages.published.recompute as p; code = p.main([]); print(*sys.modules); sys.exit(code)"
    )
    done = command("-c", program)
    assert done.returncode == 0, done.stdout
    table, modules = done.stdout.rstrip().rsplit("\n", 1)
    assert "MISMATCH" not in table
    assert table.count(" ok ") > 100
    assert not {"torch", "timm", "wandb"} & set(modules.split())
    assert "DDS (f=cosine), mean Spearman with diagonal" in table


@pytest.mark.parametrize(
    ("file", "old", "new", "figure"),
    [
        (
            "task_relatedness_modelgif_distance_17x17.csv",
            "denoising,0.780778766",
            "denoising,0.980778766",
            "as printed",
        ),
        ("ip_protection_authors_log_auc.csv", "0.8750,0.8750,-0.0878", "0.8750,0.8750,-0.0978", "IP log 256"),
    ],
)
def test_one_changed_digit_is_a_mismatch(folder, capsys, file, old, new, figure):
    replace(folder / file, old, new)
    assert main([str(folder)]) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if "MISMATCH" in line]
    assert any(figure in line for line in lines)


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("taskonomy_affinity_17x17.csv", "curvature,1.93865413e-05", "curvature,l.93865413e-05", "l.93865413e-05"),
        ("task_relatedness_rsa_similarity_17x17.csv", "curvature,0.1376794", "curvature,", "is not finite"),
        ("task_relatedness_methods_17task.csv", "RSA,0.7771", "RSA,o.7771", "'o.7771' among numbers"),
        ("task_relatedness_methods_17task.csv", "\nRSA,", "\nRSB,", "RSA"),
    ],
)
def test_a_damaged_file_is_named_in_one_line(folder, capsys, file, old, new, message):
    replace(folder / file, old, new)
    assert main([str(folder)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert file in line
    assert message in line


@pytest.mark.parametrize("file", [published.MATRICES[0], "task_relatedness_methods_17task.csv"])
@pytest.mark.parametrize(
    "damage", [Path.unlink, lambda file: file.write_text(""), lambda file: file.write_bytes(b"\xff")]
)
def test_a_missing_or_empty_file_is_named_in_one_line(folder, capsys, file, damage):
    damage(folder / file)
    assert main([str(folder)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert file in line


def test_a_figure_agrees_up_to_its_tolerance_and_never_if_it_is_broken():
    assert PublishedNumber("a", 0.5, 0.55, 0.05, "").verdict == "ok"
    assert PublishedNumber("a", 0.5, 0.5501, 0.05, "").verdict == "MISMATCH"
    assert PublishedNumber("a", 0.5, np.nan, 0.05, "").verdict == "MISMATCH"
    assert PublishedNumber("a", None, 0.5, None, "").verdict == PublishedNumber("a", 0.5, None, None, "").verdict == "—"


def test_the_worst_figure_is_the_one_farthest_beyond_its_own_tolerance():
    figures = [
        PublishedNumber("wide", 1, 1.5, 1, ""),
        PublishedNumber("narrow", 1, 1.1, 0.1, ""),
        PublishedNumber("fine", 1, 1, 0.1, ""),
    ]
    assert published.worst("all", figures).name == "all, worst of 3: narrow"
    assert published.worst("all", [*figures, PublishedNumber("broken", np.nan, 1, 1, "")]).verdict == "MISMATCH"


def test_both_copies_of_the_papers_ip_table_agree():
    rows, table = (pd.read_csv(published.PUBLISHED / name) for name in ("ip_protection.csv", published.IP_TABLE))
    rows = rows.set_index("method")
    for method, row in table.set_index("attack").T.iterrows():
        printed = row.rename(lambda attack: f"auc/{attack.lower().replace('-', '_')}").astype(float)
        assert rows.loc[method.removesuffix("_auc"), printed.index].astype(float).equals(printed)


def test_every_table_is_described():
    readme = (published.PUBLISHED / "README.md").read_text()
    missing = [file.name for file in published.PUBLISHED.glob("*.csv") if f"`{file.name}`" not in readme]
    assert not missing
