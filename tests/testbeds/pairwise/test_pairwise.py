"""Pairwise comparison: orders change nothing, strangers calibrate verdicts, mistakes end in one line."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from experiments.interfaces import Samples, ZooModel
from experiments.testbeds.pairwise.testbed import Pairwise
from modelgif_core.readout import predicted_class
from modelgif_core.view import flat

IMAGES = torch.rand(6, 3, 4, 4, generator=torch.Generator().manual_seed(0))


def compared(names, images=IMAGES, **settings):
    zoo = {name: ZooModel(name, "model", "toy", nn.Identity) for name in names}
    return Pairwise(zoo, Samples(images), 4, predicted_class, flat, **settings)


def distances(testbed, near):
    rows = {pair: 0.0 if pair[0] == pair[1] else 0.1 if pair == near else 0.9 for pair in testbed.pairs()}
    return pd.DataFrame(np.outer(list(rows.values()), np.ones(3)), pd.MultiIndex.from_tuples(rows))


def test_the_order_of_models_and_of_images_changes_nothing():
    one, other = compared("abc"), compared("cab", IMAGES.flip(0))
    assert one.pairs() == other.pairs()
    assert torch.equal(one.samples.inputs, other.samples.inputs)


def test_with_enough_strangers_the_near_pair_alone_is_derived():
    strangers = [f"s{number:02}" for number in range(59)]
    testbed = compared(["a", "b", "c", *strangers], strangers=strangers)
    report = testbed.score(distances(testbed, ("a", "b")))
    assert report.matrices["pairs"]["verdict"].dropna().to_dict() == {
        ("a", "b"): "derived",
        ("a", "c"): "not told apart",
        ("b", "c"): "not told apart",
    }
    assert report.matrices["pairs"].loc[("a", "b"), "p"] == pytest.approx(1 / 60)
    assert report.metrics["farthest_from_itself"] == 0


def test_two_strangers_are_refused():
    with pytest.raises(ValueError, match="at least 3 different models"):
        compared("abcd", strangers=["c", "d"])
