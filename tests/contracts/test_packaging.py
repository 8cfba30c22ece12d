"""One place declares dependencies; everything else agrees with it."""

import re
import tomllib

import yaml
from conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_every_dependency_is_pinned():
    pinned = set(re.findall(r"^([\w.-]+)==", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE))
    pinned = {name.lower().replace("_", "-") for name in pinned}
    extras = [name for names in PROJECT["optional-dependencies"].values() for name in names]
    missing = {name for name in [*PROJECT["dependencies"], *extras] if name.lower() not in pinned}
    assert not missing


def test_dependencies_name_no_versions_and_constraints_nothing_but_versions():
    assert all(re.fullmatch(r"[\w-]+", name) for name in PROJECT["dependencies"])
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[\w.-]+==[\w.+!]+( ;.*)?", line) for line in lines if line and not line.startswith("#"))


def test_conda_and_make_install_by_the_same_pip_line():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    pip = next(part["pip"] for part in environment["dependencies"] if isinstance(part, dict))
    assert pip == ["-e .[test]", "-c constraints.txt"]
    assert "-e '.[test]' -c constraints.txt" in (ROOT / "Makefile").read_text()


def test_the_readme_names_the_two_commands_and_ci_runs_the_second():
    readme = (ROOT / "README.md").read_text()
    assert "make demo" in readme
    assert "make test" in readme
    assert "make test" in (ROOT / ".ci" / "run").read_text()
