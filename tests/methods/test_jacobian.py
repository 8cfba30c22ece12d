"""What channels' fields span, on vectors whose overlap is known."""

import pytest
import torch

from experiments.methods.fields.jacobian import span_distance, subspace_distance

PLANE = [[1.0, 0, 0], [0, 1, 0]]


def spans(*steps):
    """One path; of each step the fields of its channels."""
    return torch.tensor([list(steps)])


@pytest.mark.parametrize("distance", [span_distance, subspace_distance])
def test_two_planes_that_share_a_line_at_a_right_angle_are_half_apart(distance):
    assert distance(spans(PLANE), spans([[1.0, 0, 0], [0, 0, 1]])).tolist() == pytest.approx([0.5])
    assert distance(spans(PLANE), spans(PLANE)).tolist() == pytest.approx([0])


def test_a_channels_strength_weighs_in_what_is_spanned_and_not_in_the_subspace():
    for strength in (2.0, 1e4):
        stronger = spans([[strength, 0, 0], [0, 0, 1]])
        overlap = strength**2 / (2 * (strength**4 + 1)) ** 0.5
        assert span_distance(spans(PLANE), stronger).tolist() == pytest.approx([1 - overlap])
        assert subspace_distance(spans(PLANE), stronger).tolist() == pytest.approx([0.5])


@pytest.mark.parametrize("distance", [span_distance, subspace_distance])
def test_a_step_without_gradients_is_left_out_and_a_path_of_such_steps_has_no_distance(distance):
    dead = torch.zeros(2, 3).tolist()
    assert distance(spans(PLANE, dead), spans([[1.0, 0, 0], [0, 0, 1]], PLANE)).tolist() == pytest.approx([0.5])
    assert distance(spans(dead), spans(PLANE)).isnan().all()
