"""Queries beyond an attacker's own images are moved copies of them, with the same labels."""

from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from experiments.interfaces import Samples
from experiments.samples.moved import shift, with_moved

IMAGES = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
OWN = Samples(IMAGES, torch.arange(5))


@given(st.integers(1, 23))
def test_there_are_as_many_as_asked_for_the_own_ones_first_and_labels_go_round(count):
    found = with_moved(OWN, count, shift)
    assert len(found.inputs) == len(found.labels) == count
    assert torch.equal(found.inputs[:5], IMAGES[:count])
    assert torch.equal(found.labels, torch.arange(count) % 5)


def test_the_same_seed_moves_alike_and_another_one_otherwise():
    first, again, other = (with_moved(OWN, 15, shift, seed=seed).inputs for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first[5:10], first[10:])


def test_a_shifted_image_is_a_window_of_the_image_on_black():
    padded = torch.nn.functional.pad(IMAGES, [1] * 4)
    moved = shift(IMAGES, torch.Generator().manual_seed(0), pixels=1)
    for image, around in zip(moved, padded, strict=True):
        windows = [around[:, y : y + 8, x : x + 8] for y in range(3) for x in range(3)]
        assert any(torch.equal(image, window) for window in windows)


@pytest.mark.parametrize(("samples", "count"), [(OWN, 0), (Samples(IMAGES[:0]), 3)])
def test_nothing_to_ask_is_refused(samples, count):
    with pytest.raises(ValueError, match="at least one query and one image"):
        with_moved(samples, count, partial(shift, pixels=1))
