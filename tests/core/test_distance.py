"""Distances between fields hold what their docstrings promise."""

from functools import partial
from itertools import product

import jaxtyping
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr
from torch.nn.functional import cosine_similarity

from modelgif_core import absolute_cosine, cosine, euclidean, frechet, pairwise_cosine, standardised_cosine
from modelgif_core.distance import cosine_matrix, euclidean_matrix

few = settings(derandomize=True, deadline=None, max_examples=20)
seeds = st.integers(0, 2**16)
sizes = st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(2, 40))
frechet_euclidean = partial(frechet, ground=euclidean_matrix)

every = {
    "cosine": cosine,
    "absolute_cosine": absolute_cosine,
    "standardised_cosine": standardised_cosine,
    "euclidean": euclidean,
    "frechet": frechet,
    "frechet_euclidean": frechet_euclidean,
}
distances = pytest.mark.parametrize("distance", every.values(), ids=every.keys())
angular = pytest.mark.parametrize("distance", [cosine, standardised_cosine, frechet])
means_over_steps = pytest.mark.parametrize("distance", [cosine, standardised_cosine])
grounds = pytest.mark.parametrize("ground", [cosine_matrix, euclidean_matrix])


def fields(seed, size, count=2, dtype=torch.float32):
    return torch.randn(count, *size, generator=torch.Generator().manual_seed(seed), dtype=dtype).unbind()


def close(a, b, atol=1e-6):
    return torch.allclose(a, b, rtol=1e-5, atol=atol, equal_nan=True)


@distances
@few
@given(seed=seeds, size=sizes)
def test_a_field_is_at_distance_exactly_zero_from_itself(distance, seed, size):
    (field,) = fields(seed, size, count=1)
    assert distance(field, field.clone()).tolist() == [0] * len(field)


@distances
def test_a_field_that_vanishes_at_a_step_is_still_at_distance_zero_from_itself(distance):
    (field,) = fields(0, (3, 5, 8), count=1)
    field[:, 0] = 0
    field[1, 3] = 0
    assert close(distance(field, field.clone()), torch.zeros(3))


@distances
@few
@given(seed=seeds, size=sizes)
def test_distances_are_symmetric(distance, seed, size):
    a, b = fields(seed, size)
    assert close(distance(a, b), distance(b, a))


@angular
@few
@given(seed=seeds, size=sizes, mix=st.sampled_from([-1.0, -0.999, 0.0, 0.5, 0.999, 1.0]), scale=st.floats(0.1, 10))
def test_angular_distances_lie_between_zero_and_two(distance, seed, size, mix, scale):
    a, noise = fields(seed, size)
    measured = distance(a, scale * (mix * a + (1 - abs(mix)) * noise + 1e-3 * noise))
    assert (measured >= 0).all()
    assert (measured <= 2 + 1e-5).all()


@angular
@pytest.mark.parametrize("scale", [1e-25, 1e-12, 0.3, 7.0, 1e12, 1e25])
def test_angular_distances_ignore_positive_scaling_of_either_field(distance, scale):
    a, b = fields(0, (4, 5, 30))
    expected = distance(a, b)
    assert close(distance(scale * a, b), expected)
    assert close(distance(a, scale * b), expected)
    assert close(distance(scale * a, scale * b), expected)


@means_over_steps
def test_angular_distances_ignore_scaling_of_single_steps(distance):
    a, b = fields(0, (4, 5, 30))
    assert close(distance(a * torch.tensor([1e-25, 1e-3, 1, 1e3, 1e20])[:, None], b), distance(a, b))


@means_over_steps
@few
@given(seed=seeds, size=sizes)
def test_opposite_fields_are_at_distance_two(distance, seed, size):
    a, _ = fields(seed, size)
    assert close(distance(a, -a), torch.full((len(a),), 2.0))


def test_opposite_points_are_at_frechet_distance_two():
    a, _ = fields(0, (3, 1, 8))
    assert close(frechet(a, -a), torch.full((3,), 2.0))


@distances
def test_nan_marks_exactly_the_paths_that_are_dead_in_one_of_the_fields(distance):
    a, b = fields(0, (5, 4, 8))
    a[0] = 0
    b[2] = 0
    a[3] = b[3] = 0
    assert distance(a, b).isnan().tolist() == [True, False, True, True, False]


@distances
def test_a_path_with_one_living_step_is_no_dead_path(distance):
    a, b = fields(0, (2, 4, 8))
    a[:, :3] = 0
    assert not distance(a, b).isnan().any()


@distances
def test_a_dead_path_leaves_the_other_paths_as_they_are(distance):
    a, b = fields(0, (3, 4, 8))
    expected = distance(a, b)[1:]
    a[0] = 0
    assert close(distance(a, b)[1:], expected)


@means_over_steps
@few
@given(seed=seeds, step=st.integers(0, 4), first=st.booleans())
def test_a_step_at_which_one_field_vanishes_is_left_out(distance, seed, step, first):
    a, b = fields(seed, (3, 5, 12))
    (a if first else b)[:, step] = 0
    rest = [k for k in range(5) if k != step]
    assert close(distance(a, b), distance(a[:, rest], b[:, rest]))


@means_over_steps
def test_a_path_whose_living_steps_never_meet_is_nan(distance):
    a, b = fields(0, (2, 4, 8))
    a[0, :2] = 0
    b[0, 2:] = 0
    assert distance(a, b).isnan().tolist() == [True, False]


@few
@given(seed=seeds, size=sizes)
def test_cosine_is_one_minus_the_mean_cosine_similarity(seed, size):
    a, b = fields(seed, size, dtype=torch.float64)
    assert torch.allclose(cosine(a, b), 1 - cosine_similarity(a, b, dim=2).mean(1), atol=1e-12)


@few
@given(seed=seeds, shift=st.floats(-3, 3))
def test_standardised_cosine_is_one_minus_the_pearson_correlation(seed, shift):
    a, b = fields(seed, (2, 3, 10), dtype=torch.float64)
    a = a + shift
    pearson = torch.tensor(
        [[pearsonr(x, y).statistic for x, y in zip(p, q, strict=True)] for p, q in zip(a, b, strict=True)]
    )
    assert torch.allclose(standardised_cosine(a, b), 1 - pearson.mean(1), atol=1e-10)


def test_cosine_sees_a_shift_that_standardised_cosine_ignores():
    a, b = fields(0, (3, 4, 20))
    assert close(standardised_cosine(a + 2, b), standardised_cosine(a, b), atol=1e-5)
    assert not torch.allclose(cosine(a + 2, b), cosine(a, b), atol=1e-2)


@few
@given(seed=seeds, size=sizes)
def test_absolute_cosine_lies_between_zero_and_one_and_ignores_signs(seed, size):
    a, b = fields(seed, size)
    measured = absolute_cosine(a, b)
    assert ((measured >= 0) & (measured <= 1 + 1e-6)).all()
    assert close(absolute_cosine(a, -b), measured)
    assert absolute_cosine(a, -a).tolist() == [0] * len(a)


def test_fields_that_are_nowhere_both_are_at_absolute_cosine_distance_one():
    assert absolute_cosine(torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.0, -2.0]]])).tolist() == [1]


@distances
def test_distances_are_taken_where_the_fields_lie(distance):
    a, b = (field.to("meta") for field in fields(0, (3, 4, 8)))
    assert distance(a, b).device.type == "meta"


def test_all_pairs_are_compared_where_the_fields_lie():
    one, other = (field.to("meta") for field in fields(0, (3, 4, 8)))
    assert pairwise_cosine([one, other], 2).device.type == "meta"


def test_euclidean_is_the_mean_length_of_the_difference():
    a = torch.tensor([[[1.0, 1.0], [0.0, 2.0]]])
    b = torch.tensor([[[4.0, 5.0], [0.0, 3.0]]])
    assert euclidean(a, b).tolist() == [3]


@pytest.mark.parametrize("distance", [euclidean, frechet_euclidean])
@few
@given(seed=seeds, size=sizes)
def test_euclidean_distances_obey_the_triangle_inequality(distance, seed, size):
    a, b, c = fields(seed, size, count=3, dtype=torch.float64)
    assert (distance(a, c) <= distance(a, b) + distance(b, c) + 1e-12).all()


@pytest.mark.parametrize("distance", [euclidean, frechet_euclidean])
@pytest.mark.parametrize("scale", [1e-25, 1e-3, 1e3])
def test_euclidean_distances_grow_with_the_scale_of_both_fields(distance, scale):
    a, b = fields(0, (3, 4, 8))
    assert torch.allclose(distance(scale * a, scale * b) / scale, distance(a, b), rtol=1e-4)


@grounds
@few
@given(seed=seeds, size=sizes)
def test_frechet_of_single_points_is_the_ground_distance(ground, seed, size):
    a, b = fields(seed, (size[0], 1, size[2]))
    assert close(frechet(a, b, ground=ground), ground(a, b)[:, 0, 0])


@grounds
@few
@given(seed=seeds, size=sizes)
def test_frechet_lies_between_the_worst_end_and_the_worst_step(ground, seed, size):
    a, b = fields(seed, size)
    leash = ground(a, b)
    stepwise = leash.diagonal(dim1=1, dim2=2)
    measured = frechet(a, b, ground=ground)
    assert (measured >= torch.maximum(leash[:, 0, 0], leash[:, -1, -1])).all()
    assert (measured <= stepwise.amax(1)).all()


@grounds
@few
@given(seed=seeds, size=sizes)
def test_frechet_equals_its_recursive_definition(ground, seed, size):
    a, b = fields(seed, size)

    def coupling(leash, i, j):
        before = [(i - 1, j), (i, j - 1), (i - 1, j - 1)]
        reached = [coupling(leash, *at) for at in before if min(at) >= 0]
        return max(leash[i][j], min(reached, default=0))

    expected = [coupling(leash, len(leash) - 1, len(leash) - 1) for leash in ground(a, b).double().tolist()]
    assert frechet(a, b, ground=ground).tolist() == pytest.approx(expected, abs=1e-6)


def test_frechet_forgives_a_curve_that_waits():
    a = torch.tensor([[[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]])
    b = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [-1.0, 0.0]]])
    assert frechet(a, b).tolist() == [0]
    assert cosine(a, b).tolist() == [0.25]


@pytest.fixture
def unchecked():
    """Without jaxtyping's checks, which refuse some arguments before the code does."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", before)


@distances
@pytest.mark.parametrize("shape", [(2, 4, 6), (2, 3, 5), (1, 3, 6), (3, 6), (2, 3, 6, 1)])
@pytest.mark.usefixtures("unchecked")
def test_fields_of_different_shapes_are_refused(distance, shape):
    with pytest.raises(ValueError, match="must share one shape"):
        distance(torch.ones(2, 3, 6), torch.ones(shape))


@distances
@pytest.mark.usefixtures("unchecked")
def test_points_without_paths_and_steps_are_refused(distance):
    with pytest.raises(ValueError, match=r"\(paths, steps, dims\), not \(3, 6\)"):
        distance(torch.ones(3, 6), torch.ones(3, 6))


def test_a_curve_point_that_is_constant_over_its_dimensions_has_no_correlation():
    a, b = torch.full((1, 1, 6), 0.1), torch.randn(1, 1, 6)
    assert standardised_cosine(a, b).isnan().all()


@few
@given(seed=seeds, size=sizes)
def test_all_pairs_by_matrix_products_are_the_pairs_one_by_one(seed, size):
    found = fields(seed, size, count=4)
    found[1][:, 0] = 0  # a step at which one of two vanishes is left out
    found[2][0] = 0  # a dead path
    together = pairwise_cosine(iter(found), 4)
    for i, j in product(range(4), repeat=2):
        assert close(together[i, j], cosine(found[i], found[j]))


def test_a_twin_among_all_pairs_is_at_distance_zero():
    one, other = fields(0, (3, 5, 400))
    together = pairwise_cosine([one, other, one.clone()], 3)
    assert together[0, 2].tolist() == [0, 0, 0]


def test_all_pairs_need_as_many_fields_as_models_and_one_shape():
    one, other = fields(0, (3, 5, 8))
    with pytest.raises(ValueError, match="fewer than 3"):
        pairwise_cosine([one, other], 3)
    with pytest.raises(ValueError, match="one shape"):
        pairwise_cosine([one, other[:2]], 2)
    with pytest.raises(ValueError, match="one shape"):
        pairwise_cosine([one, other], 1)
