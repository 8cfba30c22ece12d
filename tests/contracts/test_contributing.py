"""CONTRIBUTING's recipes, carried out word for word in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT

TEXT = (ROOT / "CONTRIBUTING.md").read_text()
RECIPES = dict(re.findall(r"^## (A [^\n]+)\n(.*?)(?=^## )", TEXT, flags=re.MULTILINE | re.DOTALL))
IN_ONE_PROCESS = """
import runpy, sys
for line in sys.stdin.read().splitlines():
    print(">>>", line, flush=True)
    words = line.split()[1:]
    try:
        if words[0] == "-m":
            sys.argv = words[1:]
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = [*words, "wandb=disabled"]
            runpy.run_path(words[0], run_name="__main__")
    except SystemExit as end:
        assert not end.code, f"{line}: {end.code}"
"""
"""A process for each command would take most of its time to import torch."""


def test_there_is_a_recipe_for_everything_that_can_be_added():
    assert [recipe.lower() for recipe in RECIPES] == re.findall(r"^\| \[(a [^\]]*)\]", TEXT, flags=re.MULTILINE)


@pytest.mark.slow
def test_every_recipe_works_as_it_stands(tmp_path):
    for name in ("experiments", "modelgif_core", "conf", "run.py"):
        source, goal = ROOT / name, tmp_path / name
        shutil.copytree(source, goal) if source.is_dir() else shutil.copy(source, goal)
    everything = "\n".join(RECIPES.values())
    for path, content in re.findall(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", everything, flags=re.DOTALL):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        assert not (tmp_path / path).exists(), f"the recipe for {path} adds nothing"
        (tmp_path / path).write_text(content)
    commands = re.findall(r"^python .*$", everything, flags=re.MULTILINE)
    assert len(commands) > len(RECIPES)
    done = subprocess.run(
        [sys.executable, "-c", IN_ONE_PROCESS],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"},
        input="\n".join(commands),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = dict(zip(commands, re.split(r"^>>> .*\n", done.stdout, flags=re.MULTILINE)[1:], strict=True))
    for command, text in said.items():
        page = command.startswith("python -m")
        assert re.search(r"\| Label agreement +\| 0\.\d\d" if page else r"results/runs/\w+/report\.json", text), command
