"""Readouts turn the output at a path's end into weights that stay fixed along the path."""

from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from modelgif_core import Paths, extract_field
from modelgif_core.quadrature import riemann_right
from modelgif_core.readout import (
    channel_peaks,
    class_sum,
    every_output,
    given_label,
    label_odds,
    predicted_class,
    top_peaks,
)

few = settings(derandomize=True, deadline=None, max_examples=20)
seeds = st.integers(0, 2**16)
READOUTS = [predicted_class, given_label, channel_peaks, partial(top_peaks, k=1), every_output, class_sum]


class Squared(nn.Module):
    """Every output is the square of the input at its place: its gradient points at the outputs that are followed."""

    def forward(self, inputs):
        return inputs.square()


def outputs(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@few
@given(seed=seeds, n=st.integers(1, 5), classes=st.integers(1, 7))
def test_predicted_class_is_one_at_the_largest_output_and_zero_elsewhere(seed, n, classes):
    output = outputs(seed, n, classes)
    weights = predicted_class(output)
    assert weights.shape == output.shape
    assert weights.sum(1).tolist() == [1] * n
    assert torch.equal((weights * output).sum(1), output.amax(1))


@few
@given(seed=seeds, data=st.data(), classes=st.integers(1, 7))
def test_given_label_is_one_at_the_label_and_zero_elsewhere(seed, data, classes):
    labels = torch.tensor(data.draw(st.lists(st.integers(0, classes - 1), min_size=1, max_size=5)))
    weights = given_label(outputs(seed, len(labels), classes), labels)
    expected = torch.zeros(len(labels), classes)
    for row, label in enumerate(labels):
        expected[row, label] = 1
    assert torch.equal(weights, expected)


def test_labels_may_be_small_integers():
    weights = given_label(outputs(0, 2, 300), torch.tensor([3, 200], dtype=torch.uint8))
    assert weights.argmax(1).tolist() == [3, 200]


@few
@given(seed=seeds, n=st.integers(1, 3), channels=st.integers(1, 4), height=st.integers(1, 4), width=st.integers(1, 4))
def test_channel_peaks_follow_the_maximum_of_every_channel(seed, n, channels, height, width):
    output = outputs(seed, n, channels, height, width)
    weights = channel_peaks(output)
    assert torch.equal(weights.sum((2, 3)), torch.ones(n, channels))
    assert torch.equal((weights * output).sum((2, 3)), output.amax((2, 3)))
    assert torch.equal(weights, top_peaks(output, k=1))


@few
@given(seed=seeds, data=st.data(), positions=st.integers(1, 9))
def test_top_peaks_follow_the_k_largest_positions_of_every_channel(seed, data, positions):
    k = data.draw(st.integers(1, positions))
    output = outputs(seed, 2, 3, positions)
    weights = top_peaks(output, k=k)
    assert set(weights.unique().tolist()) <= {0.0, 1.0}
    assert torch.equal(weights.sum(2), torch.full((2, 3), float(k)))
    assert torch.allclose((weights * output).sum(2), output.sort(2, descending=True).values[..., :k].sum(2), atol=1e-6)


def test_equal_peaks_count_once():
    assert channel_peaks(torch.ones(2, 3, 4, 4)).sum((2, 3)).tolist() == [[1, 1, 1], [1, 1, 1]]


def test_channel_peaks_do_not_depend_on_the_memory_layout():
    output = outputs(0, 2, 3, 4, 5)
    assert torch.equal(channel_peaks(output.to(memory_format=torch.channels_last)), channel_peaks(output))


def test_every_output_weighs_all_outputs_the_same():
    assert torch.equal(every_output(outputs(0, 2, 3, 4)), torch.ones(2, 3, 4))


def test_class_sum_follows_the_whole_map_of_the_label():
    weights = class_sum(outputs(0, 2, 3, 4, 5), torch.tensor([2, 0]))
    assert weights.shape == (2, 3, 4, 5)
    assert weights.sum((2, 3)).tolist() == [[0, 0, 20], [20, 0, 0]]


def test_class_sum_without_a_label_follows_the_largest_sum_not_the_largest_peak():
    output = torch.tensor([[[9.0, -9.0, 0.0], [1.0, 1.0, 1.0]]])
    assert class_sum(output).tolist() == [[[0, 0, 0], [1, 1, 1]]]


def test_class_sum_of_flat_outputs_is_the_predicted_class():
    output = outputs(0, 4, 6)
    assert torch.equal(class_sum(output), predicted_class(output))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("readout", READOUTS)
def test_weights_have_the_precision_and_shape_of_the_output(readout, dtype):
    output = outputs(0, 2, 3).to(dtype)
    weights = readout(output, torch.tensor([0, 2]))
    assert weights.dtype == dtype
    assert weights.shape == output.shape


@pytest.mark.parametrize("readout", READOUTS)
def test_a_readout_leaves_the_output_alone(readout):
    output = outputs(0, 2, 3)
    readout(output, torch.tensor([0, 2])).mul_(7)
    assert torch.equal(output, outputs(0, 2, 3))


@pytest.mark.parametrize(
    ("readout", "shape"),
    [
        (predicted_class, (1, 2)),
        (channel_peaks, (1, 1, 1, 2)),
        (partial(top_peaks, k=1), (1, 1, 2)),
        (class_sum, (1, 2, 1)),
    ],
)
def test_what_is_followed_stays_as_it_was_at_the_end_of_the_path(readout, shape):
    # The largest output is the first one up to the middle of the path and the second one from there on.
    paths = Paths(torch.tensor([4.0, 0.0]).view(shape), torch.tensor([0.0, 4.0]).view(shape))
    options = {"steps": 4, "rule": riemann_right, "cumulative": False, "times_direction": False}
    field = extract_field(Squared(), paths, readout=readout, **options)
    assert field.tolist() == [[[0, 0.5], [0, 1], [0, 1.5], [0, 2]]]


def test_every_path_follows_its_own_output_whatever_the_batch():
    paths = Paths(torch.zeros(()), torch.eye(5) + 1)
    for batch_size in (1, 2, 3, 15):
        field = extract_field(Squared(), paths, steps=3, batch_size=batch_size)
        assert torch.allclose(field[:, -1], 4 * torch.eye(5))


def test_given_label_follows_the_label_and_not_the_prediction():
    paths = Paths(torch.zeros(()), torch.tensor([[3.0, 1.0], [1.0, 3.0]]), labels=torch.tensor([1, 1]))
    assert torch.allclose(
        extract_field(Squared(), paths, steps=3, readout=given_label)[:, -1], torch.tensor([[0.0, 1.0], [0.0, 9.0]])
    )


def test_given_label_needs_labels():
    with pytest.raises(ValueError, match="needs labelled paths"):
        given_label(outputs(0, 2, 3))


@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_without_an_output_is_refused(label):
    with pytest.raises(ValueError, match="the model has 3 outputs"):
        given_label(outputs(0, 2, 3), torch.tensor([0, label]))


@pytest.mark.parametrize("shape", [(4,), (2, 3, 4, 4)])
@pytest.mark.parametrize("readout", [predicted_class, given_label])
def test_readouts_of_classes_refuse_other_outputs(readout, shape):
    with pytest.raises(ValueError, match=rf"{readout.__name__} reads outputs \(n, classes\)"):
        readout(outputs(0, *shape), torch.zeros(shape[0], dtype=torch.long))


def test_peaks_refuse_outputs_without_channels():
    with pytest.raises(ValueError, match="peaks are read from outputs"):
        channel_peaks(outputs(0, 4))


@pytest.mark.parametrize("k", [0, 5])
def test_more_peaks_than_positions_and_none_at_all_are_refused(k):
    with pytest.raises(ValueError, match=f"between 1 and the 4 positions of a channel, not {k}"):
        top_peaks(outputs(0, 2, 3, 4), k=k)


def test_one_class_has_no_odds():
    with pytest.raises(ValueError, match="label_odds needs at least 2 outputs, not 1"):
        label_odds(outputs(0, 3, 1), torch.zeros(3, dtype=torch.long))
    assert label_odds(outputs(0, 3, 2), torch.zeros(3, dtype=torch.long)).tolist() == [[1, -1]] * 3
