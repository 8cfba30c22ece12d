"""Whatever is overridden, a command ends in one line that names it, or does what its words say."""

import copy
import math
import runpy
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from conftest import ROOT, TOY
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, ListConfig, OmegaConf
from reliability import cases, tally

from experiments import job
from experiments.commands.door import admitted
from experiments.commands.refusal import ONE_LINE
from experiments.storage.configuration import composed

RUN = str(ROOT / "run.py")
CHOICES = [
    TOY,
    ["testbed/zoo=mini", "testbed/samples=toy", "method=modelgif/adversarial"],
    ["testbed=task_relatedness", "testbed/samples=toy", "method=modelgif/sketch"],
    ["testbed=unlearning", "testbed/zoo=unlearning_cifar10", "method=lira"],
    ["testbed=unlearning", "method=zest"],
    ["testbed=unlearning", "testbed/zoo=toy_forgetting", "method=relearn_time"],
]
TREES = [composed(*words, "wandb=disabled") for words in CHOICES]
UNTYPED = {"img_size", "embed_dim", "key_dim", "num_heads", "depth", "distilled", "stem_chs"}
"""Options of timm's own networks, which `build` hands on."""
WRONG = [None, True, 1.5, -1, math.nan, "abc", "no", [], [None], {"a": 1}]


class Place(NamedTuple):
    """A value of its own in one of the trees."""

    tree: int
    path: tuple[str | int, ...]


def leaves(part: DictConfig | ListConfig, above: tuple = ()) -> Iterator[tuple]:
    """Where the tree has a value of its own."""
    items = part.items_ex(resolve=False) if isinstance(part, DictConfig) else enumerate(part._iter_ex(resolve=False))
    for key, value in items:
        if key in UNTYPED:
            continue
        if OmegaConf.is_config(value) and not value._is_interpolation() and len(value):
            yield from leaves(value, (*above, key))
        elif not OmegaConf.is_interpolation(part, key):
            yield (*above, key)


PLACES = [Place(number, path) for number, tree in enumerate(TREES) for path in leaves(tree)]


def like(value: Any, was: Any) -> bool:
    """Whether a value is of the sort that stood there before, as far as that tells."""
    if value is None or was is None:
        return True
    if isinstance(was, bool) or isinstance(value, bool):
        return isinstance(was, bool) and isinstance(value, bool)
    if isinstance(was, int | float):
        return isinstance(value, int | float) and math.isfinite(value)
    return isinstance(value, str) if isinstance(was, str) else OmegaConf.is_config(was)


def at(config: Any, path: tuple) -> Any:
    for key in path:
        config = config[key]
    return config


def search(count: int, *strategies: st.SearchStrategy) -> Callable:
    """Hypothesis over so many cases, the same every time."""
    quick = settings(max_examples=count, deadline=None, derandomize=True, database=None)
    return lambda test: quick(given(*strategies)(test))


def test_any_value_anywhere_is_refused_in_one_line_that_names_it_or_is_of_the_sort_that_stood_there():
    ends: Counter[str] = Counter()

    @search(cases(60, 600), st.sampled_from(PLACES), st.sampled_from(WRONG))
    def put(place: Place, wrong: Any) -> None:
        changed, path = copy.deepcopy(TREES[place.tree]), ".".join(map(str, place.path))
        was = OmegaConf.select(changed, path)
        OmegaConf.update(changed, path, wrong, merge=False, force_add=True)
        try:
            found = admitted(changed)
            instantiate(found["testbed"], _convert_="all")
            instantiate(found["method"], _convert_="all")
        except (ValueError, InstantiationException) as refusal:
            said = str(refusal.__cause__ or refusal)
            named = [key for key in place.path if isinstance(key, str)]
            assert named[-1] in said or str(wrong) in said or named[-2] in said, said
            ends["refused"] += 1
        else:
            value = at(found, place.path)
            assert like(value, was), f"{path} was {was!r} and is {value!r}"
            ends["meant"] += 1

    put()
    assert ends["refused"]
    assert ends["meant"]
    tally("a wrong value at any key", ends.total(), survived="refused in one line that names it, or of the right sort")


def misspelt(name: str) -> str:
    """The name with two letters changed for each other."""
    return name[:1] + name[2:3] + name[1:2] + name[3:] if name[1:2] != name[2:3] else f"{name}x"


HOW = {
    "set": lambda above, last, value: f"{above}{last}={value}",
    "force": lambda above, last, value: f"++{above}{last}={value}",
    "delete": lambda above, last, value: f"~{above}{last}",
    "misspell": lambda above, last, value: f"{above}{misspelt(last)}={value}",
    "add": lambda above, last, value: f"+{above}{misspelt(last)}={value}",
    "add outside": lambda above, last, value: f"+{misspelt(last)}={value}",
}
NONSENSE = {"misspell", "add", "add outside", "option"}
TEXTS = ["null", "true", "no", "1.5", "-1", "nan", "abc", "''", "[]", "[null]", "{a: 1}", "${nosuch}", "???", "1e400"]
GROUPS = ("method", "testbed", "testbed/zoo", "testbed/samples", "page", "wandb", "experiment", "hydra/launcher")
NAMES = ("nosuch", "null", "[akh]", "5", "''", "modelgfi", "mimi", "joblb")


class Line(NamedTuple):
    """A command line, and what its last word does."""

    words: list[str]
    how: str
    place: Place


def overridden(place: Place, how: str, value: str) -> Line:
    """A command line that changes that place in that way."""
    *above, last = map(str, place.path)
    word = HOW[how]("".join(f"{key}." for key in above), last, value)
    return Line([*CHOICES[place.tree], "wandb=disabled", word], how, place)


def chosen(group: str, name: str) -> Line:
    """A command line with an option that a group has not."""
    return Line([*TOY, "wandb=disabled", f"{group}={name}"], "option", Place(0, ()))


def is_open(place: Place, how: str) -> bool:
    """Whether names are free there: those of pictures, and the options of timm's networks."""
    return how == "add" and (place.path[0] == "pictures" or place.path[-2:-1] == ("network",))


NAMED = [place for place in PLACES if all(isinstance(key, str) for key in place.path)]
LINES = st.builds(overridden, st.sampled_from(NAMED), st.sampled_from(sorted(HOW)), st.sampled_from(TEXTS)) | st.builds(
    chosen, st.sampled_from(GROUPS), st.sampled_from(NAMES)
)


class LetInError(Exception):
    """Raised where the work would begin."""


@pytest.fixture
def command(monkeypatch, tmp_path, capfd):
    """Starts run.py in this process, up to the work; (words) -> what it said, and the configuration if let in."""
    let_in: list[dict] = []
    begin = job.run

    def work(*_: Any, **__: Any) -> None:
        raise LetInError

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(job, "run", lambda config, folder: let_in.append(config) or begin(config, folder))
    monkeypatch.setattr(job, "prepare", work)
    for name in ("HYDRA_FULL_ERROR", ONE_LINE):  # set, so that what programs set is undone
        monkeypatch.setenv(name, "")

    def start(words: list[str]) -> tuple[str, dict | None]:
        let_in.clear()
        capfd.readouterr()
        GlobalHydra.instance().clear()
        monkeypatch.setattr(sys, "argv", ["run.py", *words])
        monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
        monkeypatch.delenv(ONE_LINE, raising=False)
        try:
            runpy.run_path(RUN, run_name="__main__")
        except LetInError:
            return capfd.readouterr().err, let_in[0]
        except SystemExit as end:
            return capfd.readouterr().err + (f"{end.code}\n" if isinstance(end.code, str) else ""), None
        raise AssertionError(f"{words} ended well without work")

    return start


def test_any_command_line_ends_in_one_line_or_does_what_it_says(command):
    ends: Counter[str] = Counter()

    @search(cases(20, 300), LINES)
    def put(line: Line) -> None:
        said, config = command(line.words)
        ends["let in" if config else "refused"] += 1
        if config is None:
            assert said.startswith("error: "), said
            assert said.count("\n") == 1, said
            return
        assert line.how not in NONSENSE or is_open(line.place, line.how), line
        if line.how in ("set", "force"):
            was = OmegaConf.select(TREES[line.place.tree], ".".join(map(str, line.place.path)))
            assert like(at(config, line.place.path), was), line

    put()
    assert ends["refused"]
    assert cases(1, ends["let in"])  # of few, all may be wrong
    _, config = command([*TOY, "wandb=disabled", "seed=3"])
    assert config
    assert config["seed"] == 3
    tally("command lines with a wrong word", ends.total(), survived="one line and no work, or what the word says")
