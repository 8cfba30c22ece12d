"""README and docs: commands compose or are understood, links lead somewhere, tables are what records say."""

import re
import shlex
import tomllib
from argparse import ArgumentParser
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from conftest import ROOT, options
from torch import nn

from experiments.pages import sweep
from experiments.pages.documents import blocks, headline, methods
from experiments.reproduce import settings
from experiments.storage import configuration

DOCUMENTS = {file.relative_to(ROOT).as_posix(): file.read_text() for file in blocks.documents(ROOT)}


class Understood(Exception):
    """A program has read its arguments without complaint."""


@cache
def commands():
    """(document, command line), from blocks of shell and from text between backticks; placeholders are no commands."""
    found = []
    for name, text in DOCUMENTS.items():
        shell = "\n".join(re.findall(r"```bash\n(.*?)```", text, flags=re.DOTALL)).replace("\\\n", " ")
        lines = [re.split(r"\s#", line)[0].strip() for line in shell.splitlines()]
        prose = re.sub(r"```.*?```", "", blocks.BLOCK.sub("", text), flags=re.DOTALL)
        inline = re.findall(r"`((?:python |make )[^`]+)`", prose)
        found += [(name, line) for line in [*lines, *inline] if line and not re.search(r"\bNAME\b|[…<]", line)]
    return list(dict.fromkeys(found))


def test_every_document_with_commands_is_looked_at():
    assert {
        "README.md",
        "docs/use.md",
        "docs/cluster.md",
        "docs/costs.md",
        "docs/reproduce.md",
        "results/README.md",
    } <= {name for name, _ in commands()}


@pytest.mark.parametrize(("document", "line"), commands(), ids=lambda part: part)
def test_a_command_composes_or_is_understood(document, line, config, monkeypatch):
    program, *words = shlex.split(line)
    match [program, *words]:
        case ["make", *targets]:
            assert set(targets) <= set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
        case ["pip", "install", "-e", extra, "-c", "constraints.txt"]:
            known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
            assert extra.removeprefix(".[").removesuffix("]") in known
        case ["python", "run.py", "experiment=reproduce", *words]:
            settings(words)
        case ["python", "run.py", *words] | ["python", "-m", "experiments.prepare" | "experiments.embed", *words]:
            composes(words, config)
        case ["python", "-m", "experiments.reproduce", *words]:
            settings(words)
        case ["python", "-m", "experiments.study", chosen, *_]:
            assert chosen.removeprefix("study=") in options("study")
        case ["python", "-m", "experiments.status", *words]:
            assert set(words) <= set(options("page"))
        case ["python", "-m", module, *words]:
            understood(module, words, monkeypatch)
        case ["wandb", "sweep", file]:
            assert (ROOT / file).exists()
        case ["wandb", "agent", *_]:
            pass
        case _:
            pytest.fail(f"{document}: no test knows what {line!r} does")


def composes(words, config):
    """The words make a configuration; of a sweep, its first job, and launchers may not be installed."""
    chosen = [word for word in words if word != "-m" and not re.match(r"\+?hydra[./]", word) and "--help" not in word]
    choices = [word for word in chosen if "glob(" not in word]
    config(
        *[
            choice if re.search(r"=[\[{]", choice) else re.sub("range.*", "0", choice).split(",")[0]
            for choice in choices
        ]
    )


def understood(module, words, monkeypatch):
    """The program's own parser takes the words; it does no work."""
    parse = ArgumentParser.parse_args

    def stop(self, *arguments, **named):
        parse(self, *arguments, **named)
        raise Understood

    monkeypatch.setattr(ArgumentParser, "parse_args", stop)
    package = find_spec(module).submodule_search_locations
    main = import_module(f"{module}.__main__" if package else module).main
    if module == "experiments.testbeds.task_relatedness.contact_sheet":  # takes no arguments, and parses none
        assert not words
        return
    with pytest.raises(Understood):
        main(words)


def test_an_unknown_word_is_not_understood(monkeypatch):
    with pytest.raises(SystemExit):
        understood("experiments.pages", ["--nosuch"], monkeypatch)


TABLES = [(name, block["name"]) for name, text in DOCUMENTS.items() for block in blocks.BLOCK.finditer(text)]


@pytest.mark.parametrize(("document", "name"), TABLES)
def test_a_table_in_a_document_is_what_configurations_and_records_say(document, name):
    (block,) = [block[0] for block in blocks.BLOCK.finditer(DOCUMENTS[document]) if block["name"] == name]
    assert block.count("\n|") > 2
    assert blocks.filled(block, ROOT / "results") == block


def test_no_method_of_the_headline_looks_at_what_it_is_scored_on():
    known = methods.methods()
    for question in headline.QUESTIONS:
        for name in question.experiments.values():
            swept = configuration.composed(f"experiment={name}", hydra=True).hydra.sweeper.params.method
            assert not [method for method in swept.split(",") if known[method].get("leak")]


def test_every_method_is_in_the_list_of_methods_with_whose_it_is():
    for name in methods.methods():
        assert f"| `{name}` |" in DOCUMENTS["docs/methods.md"]
        assert methods.about(name)


def test_every_experiment_has_a_page():
    assert all(sweep.page(name) for name in options("experiment"))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_somewhere(document):
    for target in re.findall(r"\]\(([^)\s]+)\)", DOCUMENTS[document]):
        if target.startswith("http"):
            continue
        place, _, anchor = target.partition("#")
        file = (ROOT / document).parent / place if place else ROOT / document
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(), flags=re.MULTILINE)
            assert anchor in [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings], (
                target
            )


def test_the_readme_is_short_and_leads_to_each_testbed():
    readme = DOCUMENTS["README.md"]
    assert len(readme.encode()) < 8000
    found = {path.stem for path in (ROOT / "docs" / "findings").glob("*.md")}
    assert {"ip_protection", "task_relatedness", "unlearning", "stronger"} == found
    assert all(f"(docs/findings/{name}.md)" in readme for name in found)


@pytest.mark.parametrize("document", [name for name, text in DOCUMENTS.items() if "```python" in text])
def test_python_in_a_document_runs(document):
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENTS[document], flags=re.DOTALL)
    if "import faiss" in code:
        pytest.importorskip("faiss", reason="an extra")
    models = {name: nn.Sequential(nn.Flatten(), nn.Linear(192, 5)) for name in ("one", "other")}
    names = {"models": models, "images": torch.rand(8, 3, 8, 8)}
    exec(code, names)
    if "extract_field" in code:
        assert names["field"].shape == (16, 50, 3072)
        assert 0 < names["distance"] < 2


def test_every_folder_of_results_is_explained():
    tracked = [path.name for path in (ROOT / "results").iterdir() if path.is_dir() and not _ignored(path)]
    assert all(f"{name}/`" in DOCUMENTS["results/README.md"] for name in tracked)


def _ignored(path: Path) -> bool:
    return f"results/{path.name}/" in (ROOT / ".gitignore").read_text().splitlines()
