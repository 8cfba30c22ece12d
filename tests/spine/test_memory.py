"""Peak memory is that of a piece of work, not of the process so far."""

import pytest
import torch

from experiments import memory

ROOM = 25_000_000  # single-precision numbers of 0.1 GB


@pytest.fixture
def watched():
    if memory.rise()() is None:
        pytest.skip("this system keeps no high-water mark that can be set anew")


def work(times):
    torch.ones(times * ROOM)


@pytest.mark.usefixtures("watched")
def test_the_rise_is_what_a_piece_of_work_holds_above_what_was_held_before():
    kept = torch.ones(ROOM)
    risen = memory.rise()
    work(2)
    assert risen() == pytest.approx(0.2, abs=0.03)
    assert len(kept) == ROOM


@pytest.mark.usefixtures("watched")
def test_work_after_greater_work_has_a_rise_of_its_own():
    work(4)
    risen = memory.rise()
    work(1)
    assert risen() == pytest.approx(0.1, abs=0.03)


def test_where_it_cannot_be_known_nothing_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "MARK", tmp_path / "nowhere" / "clear_refs")
    assert memory.rise()() is None
    assert memory.rise(torch.device("mps"))() is None
