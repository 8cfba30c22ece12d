"""Training code that changes without its zoo's version being raised would pass old models off as new ones."""

import ast
import hashlib
from inspect import signature
from pathlib import Path

import pytest
from conftest import ROOT

from experiments.testbeds.ip_protection.lineage import lineage
from experiments.testbeds.task_relatedness.encoders import tasks
from experiments.testbeds.task_relatedness.rooms.samples import GENERATOR_VERSION
from experiments.testbeds.unlearning.zoo import unlearning

TRAINING = ["training/fit", "training/recipe", "networks/timm", "networks/heads"]
WINGS = {
    "ip_protection": [
        *TRAINING,
        "training/descent",
        "training/sgd",
        *(f"networks/{name}" for name in ("forward", "perturbed", "torchvision")),
        *(f"samples/{name}" for name in ("cifar", "digits", "halves", "moved", "photographs")),
        "training/watermark",
        *(f"testbeds/ip_protection/{name}" for name in ("answers", "attacks", "lineage", "makers", "plan")),
        *(f"testbeds/ip_protection/harder/{name}" for name in ("removal", "robust", "weights")),
    ],
    "task_relatedness": [
        *TRAINING[:2],
        "testbeds/task_relatedness/encoders",
        "testbeds/task_relatedness/transfer",
        "testbeds/task_relatedness/rooms/standardised",
    ],
    "rooms": [f"testbeds/task_relatedness/rooms/{name}" for name in ("__init__", "scene", "rays", "targets")],
    "unlearning": [
        *TRAINING,
        "training/sgd",
        "training/descent",
        "networks/resnet_cifar",
        "networks/reinitialised",
        *(f"testbeds/unlearning/{name}" for name in ("fakes", "makers", "relabelling", "unlearners", "zoo")),
    ],
}
"""What decides the weights, or the scenes."""
PINNED = {
    "ip_protection": (4, "9543bcb7cd24"),
    "task_relatedness": (3, "cb9c9abb15aa"),
    "rooms": (1, "d9a4af40b62f"),
    "unlearning": (2, "27e29302405f"),
}
"""Version of the zoo and digest of its training code."""


def version(wing: str) -> int:
    zoos = {"ip_protection": lineage, "task_relatedness": tasks, "unlearning": unlearning}
    return signature(zoos[wing]).parameters["version"].default if wing in zoos else GENERATOR_VERSION


@pytest.mark.parametrize("wing", WINGS)
def test_training_code_does_not_change_without_its_version(wing):
    total = hashlib.sha256()
    for module in WINGS[wing]:
        total.update(code(ROOT / "experiments" / f"{module}.py").encode())
    found = (version(wing), total.hexdigest()[:12])
    assert found == PINNED[wing], (
        f"the code that trains the zoo of {wing} has changed: if other weights may come out of it, raise the zoo's "
        f"version; then pin {found} here"
    )


def code(file: Path) -> str:
    """What a file does: without comments, docstrings and where its names come from."""
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        if isinstance(getattr(node, "body", None), list):
            node.body = [part for part in node.body if not says_nothing(part)] or [ast.Pass()]
    return ast.unparse(tree)


def says_nothing(part: ast.stmt) -> bool:
    text = isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant)
    return text or isinstance(part, ast.Import | ast.ImportFrom)
