"""W&B fails early and in one line, the record stays, and what never arrived is sent later, once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, TOY
from wandb_server import serving

import run
from experiments.commands.refusal import Refused
from experiments.storage import tracking
from experiments.storage.configuration import composed

ONLINE = [*TOY, "method=agreement", "wandb=online"]


@pytest.fixture
def program(tmp_path):
    """Runs a program of the project as somebody without a W&B login; a server and a key may be given."""

    def call(*arguments: str, address: str | None = None) -> subprocess.CompletedProcess:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB", "NETRC"))}
        own = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HOME": str(tmp_path)}
        login = {"WANDB_BASE_URL": address, "WANDB_API_KEY": 40 * "a"} if address else {}
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path, env=kept | own | login, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        )  # fmt: skip

    return call


@pytest.mark.parametrize(
    ("address", "expected"),
    [(None, "wandb=online needs a key: run `wandb login`"), ("http://127.0.0.1:9", "wandb=online is not to be had: ")],
)
def test_no_login_and_no_network_are_known_before_anything_is_measured(address, expected, program, tmp_path):
    done = program(str(ROOT / "run.py"), *ONLINE, address=address)
    assert done.returncode == 1
    assert f"error: {expected}" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("distances.csv"))


@pytest.mark.parametrize("mode", ["online", "offline"])
def test_a_folder_that_cannot_be_written_is_known_before_anything_is_measured(mode, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("results").mkdir()
    Path("results/wandb").write_text("")
    with pytest.raises(Refused, match=r"^error: cannot write results/wandb .*choose wandb=disabled$"):
        run.main(composed(*TOY, "method=agreement", f"wandb={mode}"))
    assert not list(tmp_path.rglob("distances.csv"))


@pytest.mark.slow
def test_what_wandb_did_not_take_is_recorded_and_sent_later_and_only_once(program, tmp_path):
    with serving() as server:
        server.broken = True
        done = program(str(ROOT / "run.py"), *ONLINE, address=server.address)
        assert done.returncode == 1
        assert "whose record is safe: " in done.stderr
        assert "python -m experiments.track --missing sends it later" in done.stderr
        assert "Traceback" not in done.stderr
        (report,) = tmp_path.glob("results/runs/*/report.json")
        assert tracking.missing(tmp_path / "results") == [report.parent]

        server.broken = False
        damaged = report.parent.with_name("a_damaged_one")  # the first in order
        damaged.mkdir()
        (damaged / "report.json").write_text("{")
        sent = program("-m", "experiments.track", "--missing", address=server.address)
        assert sent.returncode == 1
        assert "error: results/runs/a_damaged_one/report.json is damaged" in sent.stderr
        (damaged / "report.json").unlink()
        assert server.taken == [report.parent.name]
        again = program("-m", "experiments.track", "--missing", address=server.address)
        assert again.returncode == 0, again.stderr
        assert "1 of 1 recorded runs in results are with W&B" in again.stdout
        assert server.taken == [report.parent.name]
    report.write_text(report.read_text() + "\n")  # measured again
    assert tracking.missing(tmp_path / "results") == [report.parent]


@pytest.mark.slow
def test_every_job_of_a_wandb_sweep_is_one_run_there_also_if_it_was_measured_before(tmp_path):
    words = [*TOY, "method=agreement", "wandb=offline"]
    own = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "WANDB_SWEEP_ID": "sweep123"}
    for job in ("job1", "job2"):
        environment = os.environ | own | {"WANDB_RUN_ID": job}
        subprocess.run([sys.executable, str(ROOT / "run.py"), *words], cwd=tmp_path, env=environment, check=True)
    sent = [folder.name.rpartition("-")[2] for folder in (tmp_path / "results" / "wandb").glob("offline-run-*")]
    assert sorted(sent) == ["job1", "job2"]
    assert len(list(tmp_path.glob("results/runs/*/report.json"))) == 1
