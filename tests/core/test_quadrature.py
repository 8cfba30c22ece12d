"""A rule is judged by the polynomials it integrates exactly."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from modelgif_core.quadrature import gauss_legendre, riemann_left, riemann_middle, riemann_right, trapezoid

RULES = [gauss_legendre, riemann_left, riemann_middle, riemann_right, trapezoid]
few = settings(derandomize=True, deadline=None, max_examples=25)
rules = pytest.mark.parametrize("rule", RULES)
coefficients = st.floats(-1, 1, allow_nan=False)


def integral(coefficients):
    return sum(c / (power + 1) for power, c in enumerate(coefficients))


def estimate(rule, steps, coefficients):
    nodes, weights = rule(steps)
    return float(sum(c * (weights * nodes**power).sum() for power, c in enumerate(coefficients)))


@rules
@few
@given(steps=st.integers(2, 64))
def test_weights_are_positive_and_sum_to_one(rule, steps):
    _, weights = rule(steps)
    assert (weights > 0).all()
    assert float(weights.sum()) == pytest.approx(1, abs=1e-12)


@rules
@few
@given(steps=st.integers(2, 64))
def test_nodes_ascend_inside_the_unit_interval(rule, steps):
    nodes, weights = rule(steps)
    assert nodes.shape == weights.shape == (steps,)
    assert nodes.dtype == weights.dtype == torch.float64
    assert nodes[0] >= 0
    assert nodes[-1] <= 1
    assert (nodes.diff() > 0).all()


@few
@given(data=st.data(), steps=st.integers(1, 20))
def test_gauss_legendre_is_exact_up_to_degree_2n_minus_1(data, steps):
    polynomial = data.draw(st.lists(coefficients, min_size=2 * steps, max_size=2 * steps))
    assert estimate(gauss_legendre, steps, polynomial) == pytest.approx(integral(polynomial), abs=1e-12)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5])
def test_gauss_legendre_is_not_exact_at_degree_2n(steps):
    power = [0.0] * (2 * steps) + [1.0]
    assert abs(estimate(gauss_legendre, steps, power) - integral(power)) > 1e-8


@pytest.mark.parametrize(
    ("rule", "degree"), [(riemann_left, 0), (riemann_right, 0), (riemann_middle, 1), (trapezoid, 1)]
)
@few
@given(data=st.data(), steps=st.integers(2, 64))
def test_equally_spaced_rules_are_exact_up_to_their_degree_and_no_further(rule, degree, data, steps):
    polynomial = data.draw(st.lists(coefficients, min_size=degree + 1, max_size=degree + 1))
    assert estimate(rule, steps, polynomial) == pytest.approx(integral(polynomial), abs=1e-12)
    power = [0.0] * (degree + 1) + [1.0]
    assert abs(estimate(rule, steps, power) - integral(power)) > 1e-6


@rules
def test_more_steps_come_closer_on_a_smooth_function(rule):
    def error(steps):
        nodes, weights = rule(steps)
        return abs(float((weights * nodes.exp()).sum()) - (torch.e - 1))

    assert error(8) < error(4) / 1.8
    assert error(1000) < 1e-3


def test_riemann_nodes_are_the_left_middle_and_right_of_equal_intervals():
    assert riemann_left(4)[0].tolist() == [0, 0.25, 0.5, 0.75]
    assert riemann_middle(4)[0].tolist() == [0.125, 0.375, 0.625, 0.875]
    assert riemann_right(4)[0].tolist() == [0.25, 0.5, 0.75, 1]


def test_trapezoid_takes_both_ends_with_half_weight():
    nodes, weights = trapezoid(3)
    assert nodes.tolist() == [0, 0.5, 1]
    assert weights.tolist() == [0.25, 0.5, 0.25]


@pytest.mark.parametrize("rule", [gauss_legendre, riemann_left, riemann_middle, riemann_right])
def test_one_step_is_enough_for_all_rules_but_trapezoid(rule):
    assert rule(1)[1].tolist() == [1]


@rules
@pytest.mark.parametrize("steps", [0, -3])
def test_a_rule_without_steps_is_refused(rule, steps):
    with pytest.raises(ValueError, match=rf"at least \d steps?, not {steps}"):
        rule(steps)


def test_trapezoid_needs_two_steps():
    with pytest.raises(ValueError, match="at least 2 steps, not 1"):
        trapezoid(1)
