"""Imports point one way: run -> experiments -> interfaces -> core; parts never import each other."""

import ast
from pathlib import Path

import pytest
from conftest import ROOT

FORBIDDEN = {
    "modelgif_core": ["experiments", "hydra", "omegaconf", "wandb", "pandas", "matplotlib", "timm"],
    "experiments/methods": ["experiments.testbeds", "experiments.zoos", "experiments.samples", "experiments.methods"],
    "experiments/testbeds": ["experiments.methods", "experiments.zoos", "experiments.samples", "experiments.measure"],
    "experiments/zoos": ["experiments.methods", "experiments.testbeds", "experiments.measure"],
    "experiments/samples": ["experiments.methods", "experiments.testbeds", "experiments.zoos"],
}


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_no_file_imports_what_lies_above_or_beside_it(folder):
    for file in (ROOT / folder).glob("*.py"):
        for name in imported(file):
            assert not any(name == part or name.startswith(f"{part}.") for part in FORBIDDEN[folder]), f"{file}: {name}"


def test_only_tracking_imports_wandb():
    importers = [file.name for file in (ROOT / "experiments").rglob("*.py") if "wandb" in imported(file)]
    assert importers == ["tracking.py"]


def imported(file: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names
