"""The real `conf/`, composed; one thread, because with both cores busy two are slower than one."""

import copy
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jaxtyping
import pytest
import torch
from hydra.utils import instantiate

from experiments.interfaces import Method
from experiments.storage import configuration

ROOT = Path(__file__).parent.parent
TOY = ["testbed/zoo=toy", "testbed/samples=toy", "testbed.budget=8"]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def without_shape_checks() -> Iterator[None]:
    """As users run it: jaxtyping's checks, which tests switch on, would get in before our own messages."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def config() -> Callable[..., dict[str, Any]]:
    """What these overrides compose to; what is composed again and again by tests is composed once."""
    return lambda *overrides: copy.deepcopy(_resolved(*overrides))


_resolved = cache(configuration.resolved)


@pytest.fixture
def method(config: Callable[..., dict[str, Any]]) -> Callable[..., Method]:
    """The method of that name, with overrides."""
    return lambda name, *overrides: instantiate(config(f"method={name}", *overrides)["method"], _convert_="all")


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess]:
    """Runs a Python program of the project in an empty folder, as a user would."""

    def call(*arguments: str, **options: Any) -> subprocess.CompletedProcess:
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "WANDB_SILENT": "true"}
        program = [sys.executable, *arguments]
        return subprocess.run(program, cwd=tmp_path, env=environment, capture_output=True, text=True, **options)

    return call


options = configuration.names
