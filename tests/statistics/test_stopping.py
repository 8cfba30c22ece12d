"""A measurement that stops early stops for a reason, and errs as seldom as it says."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hydra.utils import instantiate

from experiments.measure import measure
from experiments.statistics.stopping import OrderSettled, half_width

TOY = ["testbed=ip_protection", "testbed/zoo=toy", "testbed/samples=toy", "method.represent.steps=2"]


def distances(means, spread, references, seed=0, source="victim"):
    noise = np.random.default_rng(seed).normal(scale=spread, size=(len(means), references))
    index = pd.MultiIndex.from_tuples([(source, str(i)) for i in range(len(means))], names=["source", "target"])
    return pd.DataFrame(np.asarray(means)[:, None] + noise, index=index)


def test_an_order_seen_over_and_over_is_settled_by_all_means_of_looking():
    rule = OrderSettled(error=0.05)
    excluded = 0
    for seed in range(300):
        draws = np.random.default_rng(seed).normal(size=400).cumsum()
        counts = np.arange(8, 401)
        means = draws[7:] / counts
        excluded += bool((np.abs(means) > [half_width(count, rule.error, rule.every) for count in counts]).any())
    assert excluded / 300 <= 0.05 + 2 * (0.05 * 0.95 / 300) ** 0.5


def test_far_models_are_settled_at_once_and_close_ones_later():
    rule = OrderSettled(tolerance=0.0, share=1.0)
    assert rule(distances([0.1, 0.5, 0.9], 0.05, 8))
    close = distances([0.50, 0.52], 0.05, 2000)
    assert not rule(close.iloc[:, :8])
    assert rule(close)


def test_equal_models_are_settled_as_equal_within_the_tolerance_only():
    twins = distances([0.5, 0.5], 0.05, 1000)
    assert OrderSettled(tolerance=0.02, share=1.0)(twins)
    assert not OrderSettled(tolerance=0.0, share=1.0)(twins)


def test_models_are_ordered_source_by_source():
    one, other = distances([0.5], 0.05, 8, source="a"), distances([0.5], 0.05, 8, seed=1, source="b")
    assert OrderSettled(tolerance=0.0, share=1.0)(pd.concat([one, other]))  # nothing to order


def test_a_dead_model_is_never_settled():
    table = distances([0.1, 0.5, 0.9], 0.05, 8)
    table.iloc[2] = np.nan
    assert not OrderSettled(share=1.0)(table)
    assert OrderSettled(share=0.3)(table)


@pytest.mark.parametrize("wrong", [{"error": 0.0}, {"share": 0.0}, {"share": 1.5}, {"tolerance": -1.0}, {"every": 1}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        OrderSettled(**wrong)


@pytest.mark.parametrize("chunk", [1, 6, 32])
def test_measuring_stops_at_the_first_look_that_settles_whatever_the_chunk(chunk, config):
    composed = config(*TOY, "method=modelgif/sequential", "testbed.budget=24")
    testbed, method = (instantiate(composed[part], _convert_="all") for part in ("testbed", "method"))
    looks = []

    def rule(table):
        looks.append(table.shape[1])
        return table.shape[1] == 16

    stop = type("Stop", (), {"every": 8, "__call__": lambda self, table: rule(table)})()
    table, cost = measure(testbed, replace(method, stop=stop), torch.device("cpu"), chunk=chunk)
    assert looks == [8, 16]
    assert cost["cost/gradient_per_model"] == 16 * 2
    whole, _ = measure(testbed, replace(method, stop=None), torch.device("cpu"), chunk=chunk)
    assert np.allclose(table, whole.iloc[:, :16], atol=1e-5)
