"""Every file that the suite reads back, damaged in every way: one line that names it and the remedy, or no difference.

`damages` is the list; `make drills` asks for more flips.
"""

import random
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from conftest import ROOT
from omegaconf import OmegaConf
from reliability import cases, tally
from torch import nn

import run
from experiments.commands.refusal import Refused
from experiments.interfaces import Samples
from experiments.pages import __main__ as pages
from experiments.pages import draw, sweep
from experiments.storage import record
from experiments.storage.embeddings import load_embedding, save_embedding
from experiments.storage.identity import digest
from experiments.storage.weights import save_weights
from experiments.testbeds.task_relatedness.rooms import samples as rooms
from experiments.training import recipe as recipes
from experiments.training import state
from modelgif_core import Embedding

EXPERIMENT = "task_probe"
JOB = sweep.experiment(EXPERIMENT, ROOT / "results" / "recorded").done[0]


class Damage(NamedTuple):
    """One way to harm one file."""

    kind: str
    harm: str
    turn: int
    """Draws where a bit changes and where a file ends."""


def flip(file: Path, draw: random.Random) -> None:
    content = bytearray(file.read_bytes())
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    file.write_bytes(content)


def folder(file: Path, draw: random.Random) -> None:
    file.unlink()
    (file / "full").mkdir(parents=True)


HARMS: dict[str, Callable[[Path, random.Random], Any]] = {
    "truncate": lambda file, draw: file.write_bytes(file.read_bytes()[: draw.randrange(1, file.stat().st_size)]),
    "empty": lambda file, draw: file.write_bytes(b""),
    "flip a bit": flip,
    "text": lambda file, draw: file.write_text("something else"),
    "a list": lambda file, draw: file.write_text("[]"),
    "an object": lambda file, draw: file.write_text("{}"),
    "text among numbers": lambda file, draw: file.write_bytes(file.read_bytes().replace(b"0.", b"x.", 1)),
    "another encoding": lambda file, draw: file.write_bytes(file.read_text(errors="replace").encode("utf-16")),
    "twice": lambda file, draw: file.write_bytes(file.read_bytes() * 2),
    "missing": lambda file, draw: file.unlink(),
    "a folder": folder,
}
RECORDS = ("report.json", "distances.csv", "affinity.csv")
FILES = (*RECORDS, "model", "checkpoint", "scenes", "embedding", "state")
NONE = {("report.json", "missing"), ("state", "missing"), ("scenes", "missing")} | {
    (kind, "text among numbers") for kind in FILES if kind not in RECORDS
}
"""What is no damage: a file that is not there yet and is made, or one without numbers as text."""


def damages(flips: int = 2) -> Iterator[Damage]:
    """Each file in each way, and so many places to cut it or to change a bit."""
    for kind in FILES:
        for harm in HARMS:
            for turn in range(flips if harm in ("truncate", "flip a bit") else 1):
                if (kind, harm) not in NONE:
                    yield Damage(kind, harm, turn)


def recipe(cache: Path) -> recipes.Recipe:
    """A small model with a checkpoint."""

    def data() -> Samples:
        return Samples(torch.ones(2, 3), torch.arange(2))

    return recipes.Recipe("small", "any", "linear", cache, 0, 1, data, network, trained, checkpoints=(1,))


def network(*, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Linear(3, 2)


def trained(making: recipes.Making) -> nn.Module:
    model = making.fresh(making.seed)
    making.after_epoch(1, model)
    return model


@pytest.fixture(scope="module")
def intact(tmp_path_factory) -> Path:
    """A folder with one file of each kind."""
    place = tmp_path_factory.mktemp("intact")
    shutil.copytree(JOB.folder, place / "results" / "runs" / JOB.folder.name)
    recipes.prepare(recipe(place / "cache"))
    scenes = {"images": torch.zeros(1, 3, 2, 2, dtype=torch.uint8), **{task: torch.zeros(1) for task in rooms.TASKS}}
    save_weights(scenes_file(place), scenes, {})
    embedding = Embedding(torch.ones(4), torch.zeros(0, 2, dtype=torch.int64), torch.tensor(8), "cosine", "reference")
    save_embedding(place / "embedding", embedding)
    state.keep(place / "state", {"epochs": 2}, 1, {"model": nn.Linear(3, 2)})
    return place


def scenes_file(place: Path) -> Path:
    name = digest(rooms.identity("evaluate", scale="mini", seed=0))
    return place / "cache" / "rooms" / f"evaluate-{name}.safetensors"


def file_of(kind: str, place: Path) -> Path:
    """Where the file of that kind lies."""
    small = recipe(place / "cache")
    others = {"model": small.file(), "checkpoint": small.file(1), "scenes": scenes_file(place)}
    return place / "results" / "runs" / JOB.folder.name / kind if kind in RECORDS else others.get(kind, place / kind)


def asks(kind: str, place: Path) -> list[Callable[[], Any]]:
    """What reads the file: functions that answer, or end in an error of one line."""
    small, epoch = recipe(place / "cache"), 1 if kind == "checkpoint" else None
    if kind in RECORDS:
        config = OmegaConf.create(JOB.config | {"results": str(place / "results")})
        drawn = partial(draw.main, [str(file_of(kind, place).parent)])
        return [partial(run.main, config), partial(pages.main, [EXPERIMENT]), drawn]
    return {
        "scenes": [lambda: rooms.load("evaluate", cache=str(place / "cache")).images.tolist()],
        "embedding": [lambda: load_embedding(place / "embedding").vector.tolist()],
        "state": [lambda: [state.resume(place / "state", {"epochs": 2}, {"model": nn.Linear(3, 2)})]],
    }.get(kind) or [
        lambda: {name: value.tolist() for name, value in recipes.load(small, epoch).state_dict().items()},
        lambda: recipes.facts_of(small, epoch),
    ]


def answer(ask: Callable[[], Any], capsys: pytest.CaptureFixture) -> tuple[Any, str]:
    """What was answered, and the error as users see it, if there is one."""
    capsys.readouterr()
    try:
        found = ask()
    except (ValueError, OSError) as error:
        return None, str(error)
    except Refused as end:
        return None, str(end)
    except SystemExit as end:
        return None, str(end.code)
    said = capsys.readouterr()
    return (None, said.err.strip()) if found == 1 else (found, "")


@pytest.mark.parametrize("kind", FILES)
def test_what_is_intact_is_read(kind, intact, monkeypatch, capsys):
    monkeypatch.chdir(intact)
    for ask in asks(kind, intact):
        found, error = answer(ask, capsys)
        assert not error
        assert found is not None or kind in RECORDS


@pytest.mark.parametrize("damage", damages(flips=cases(2, 6)), ids=lambda damage: "-".join(map(str, damage)))
def test_damage_ends_in_one_line_that_names_the_file_and_the_remedy(damage, intact, tmp_path, monkeypatch, capsys):
    shutil.copytree(intact, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    file = file_of(damage.kind, tmp_path)
    HARMS[damage.harm](file, random.Random(f"{damage}"))
    answers = [answer(ask, capsys) for ask in asks(damage.kind, tmp_path)]
    for (found, error), ask in zip(answers, asks(damage.kind, intact), strict=True):
        if error:
            assert "\n" not in error
            assert file.name in error
            assert any(remedy in error for remedy in ("rerun=true", "delete", "move it away", "makes it", "run again"))
        else:  # facts are read without weights
            assert damage.kind not in RECORDS
            assert (found, "") == answer(ask, capsys)
    assert any(error for _, error in answers)
    tally("damaged files", 1, survived="one line that names the file and the remedy; no number from it")


def test_a_run_without_a_report_is_not_finished(intact, tmp_path):
    shutil.copytree(JOB.folder, tmp_path / JOB.folder.name)
    (tmp_path / JOB.folder.name / "report.json").unlink()
    assert record.finished(tmp_path / JOB.folder.name) is None
