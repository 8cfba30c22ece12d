"""One linear map from one model's outputs, and slopes, to another's: what it leaves over, and in which direction."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from conftest import options
from hydra.utils import get_method
from torch import nn

from experiments.interfaces import Method, Samples, ZooModel
from experiments.measure import measure
from experiments.methods.fields.one_map import Function, left_over, see
from experiments.offers import comparable
from experiments.queries.samples import random_samples

IMAGES = Samples(torch.rand(24, 1, 12, 12, generator=torch.Generator().manual_seed(0)))
WEIGHTS = torch.Generator().manual_seed(1)


def encoder(seed=0, channels=4):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(1, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, channels, 3, 1, 1)).eval()


def then(network, kernel, out=3):
    """The network's maps under a convolution more."""
    last = nn.Conv2d(network[-1].out_channels, out, kernel, padding=kernel // 2)
    return nn.Sequential(network, last).eval()


def seen(network, blur=None):
    return see(network, IMAGES, blur=blur, seed=0)


@pytest.mark.parametrize(("blur", "slopes"), [(None, 0), (0, 0.5), (1.0, 1)])
@pytest.mark.parametrize("reach", [0, 1])
def test_nothing_is_left_over_of_a_map_of_the_source_and_something_the_other_way_round(blur, slopes, reach):
    rich = encoder()
    poor = seen(then(rich, 1), blur)
    assert left_over(seen(rich, blur), poor, reach=reach, slopes=slopes) < 1e-6
    assert left_over(poor, seen(rich, blur), reach=reach, slopes=slopes) > 0.01


def test_a_map_that_sees_its_neighbours_undoes_a_convolution():
    one = encoder()
    with torch.no_grad():
        assert (
            left_over(seen(one), seen(then(one, 3)), reach=1) < 1e-6 < left_over(seen(one), seen(then(one, 3)), reach=0)
        )


@pytest.mark.parametrize("reach", [0, 1])
def test_what_a_source_is_multiplied_by_and_where_a_target_begins_do_not_matter(reach):
    a, b = seen(encoder()).values, seen(encoder(1)).values
    mixing = torch.linalg.qr(torch.randn(4, 4, generator=WEIGHTS)).Q * torch.tensor([0.1, 1, 5, 20])
    mixed = torch.einsum("nchw,cd->ndhw", a, mixing)
    plain = left_over(Function(a, None), Function(b, None), reach=reach)
    torch.testing.assert_close(left_over(Function(mixed, None), Function(b * 3, None), reach=reach), plain)
    torch.testing.assert_close(left_over(Function(a, None), Function(b + 2, None), reach=reach), plain)
    assert left_over(Function(a, None), Function(a, None), reach=reach) < 1e-9


def test_channels_explain_nothing_by_their_number():
    found = [
        left_over(Function(torch.randn(60, 50, generator=WEIGHTS), None), Function(noise, None), reach=0)
        for noise in torch.randn(40, 60, 3, generator=WEIGHTS)
    ]
    assert torch.stack(found).mean() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("scale", [1, 10])
def test_values_and_slopes_are_explained_by_one_map_each_in_units_of_the_targets_own(scale):
    values, slopes = torch.arange(4.0)[:, None], torch.full((4, 1), float(scale))
    one, other = Function(values, slopes), Function(values, -slopes)  # the best map is 1 of values, -1 of slopes
    for weight in (0, 0.25, 0.5, 1):
        found = left_over(one, other, reach=0, slopes=weight)
        adjusted = (4 - 1) / (4 - 1 - 1)  # rows and what the map is told
        assert found.item() == pytest.approx(4 * weight * (1 - weight) * adjusted)  # at the map 1 - 2 weight


def test_slopes_are_the_outputs_derivative_along_the_direction():
    network, step = encoder().double(), 1e-6
    inputs = Samples(IMAGES.inputs.double())
    torch.manual_seed(0)
    found = see(network, inputs, blur=0, seed=3, batch_size=5).slopes
    along = torch.randn(inputs.inputs.shape, generator=torch.Generator().manual_seed(3)).double()
    with torch.no_grad():
        expected = (network(inputs.inputs + step * along) - network(inputs.inputs - step * along)) / (2 * step)
    assert (found - expected).abs().max() < 1e-4


def test_a_target_that_never_varies_has_no_distance():
    constant = Function(torch.ones(24, 3), None)
    assert left_over(Function(torch.randn(24, 3), None), constant, reach=0).isnan()


@pytest.mark.parametrize(
    ("a", "b", "given", "said"),
    [
        (
            (10, 9),
            (10, 2),
            {},
            r"a map that is told 9 numbers needs more than 10 rows, not 10; raise the budget",
        ),
        ((10, 2), (12, 2), {}, r"between maps of one size, not \(10, 2\), \(12, 2\)"),
        ((10, 2, 4, 4), (10, 2, 5, 5), {}, "between maps of one size"),
        (
            (10, 2, 4),
            (10, 2, 4),
            {},
            r"reads outputs \(n, channels\) or \(n, channels, height, width\), not \(10, 2, 4\)",
        ),
        ((10, 2), (10, 2), {"slopes": 0.5}, r"slopes must weigh between 0 and 1, and be taken \(blur\) if above 0"),
        ((10, 2), (10, 2), {"slopes": 2}, "slopes must weigh between 0 and 1"),
        ((10, 2), (10, 2), {"reach": -1}, "reach must be 0 or more positions, not -1"),
    ],
)
def test_what_no_map_can_be_fitted_to_is_refused(a, b, given, said):
    with pytest.raises(ValueError, match=said):
        left_over(Function(torch.randn(a), None), Function(torch.randn(b), None), **{"reach": 0} | given)


@pytest.mark.parametrize("blur", [-1, 0.3, 100])
def test_a_blur_that_changes_nothing_or_all_is_refused(blur):
    with pytest.raises(ValueError, match=r"blur must be 0, or from 1/3 to less than .* null for no slopes, not"):
        see(encoder(), IMAGES, blur=blur, seed=0)


def place(names, *pairs):
    zoo = {name: ZooModel(name, "any", "toy", partial(encoder, seed)) for seed, name in enumerate(names)}
    none = frozenset()
    return SimpleNamespace(
        zoo=zoo, samples=IMAGES, budget=24, tested_roles=none, offers=none, pairs=lambda: list(pairs)
    )


def directed(blur=None, slopes=0.0):
    return Method(
        partial(random_samples, seed=0),
        partial(see, blur=blur, seed=0),
        partial(left_over, reach=0, slopes=slopes),
        "feature",
        "one map",
        directed=True,
    )


def test_a_directed_method_meets_two_sources_both_ways_and_everybody_else_as_asked():
    asked = [("a", "a"), ("a", "b"), ("b", "c"), ("a", "c")]
    both = place("abc", *asked)
    assert comparable(directed(), both) == [*asked, ("b", "a")]  # c is nobody's source
    assert comparable(directed(), place("abc", *asked[1:2], *asked[3:])) == [("a", "b"), ("a", "c")]
    found, _ = measure(both, directed(), torch.device("cpu"))
    assert found.loc[("a", "b"), 0] != found.loc[("b", "a"), 0]


@pytest.mark.parametrize(("blur", "gradients"), [(None, 0), (1.0, 24)])
def test_a_derivative_along_a_direction_is_counted_as_a_gradient(blur, gradients):
    _, cost = measure(place("ab", ("a", "b")), directed(blur, 0.5 if blur else 0.0), torch.device("cpu"))
    assert cost["cost/gradient_per_model"] == gradients
    assert cost["cost/forward_per_model"] == 24


def test_there_is_a_reading_for_every_gauge():
    assert options("reading") == options("gauge")


@pytest.mark.parametrize(
    ("testbed", "distance"),
    [
        ("ip_protection", "experiments.methods.fields.plus.in_units"),
        ("unlearning", "experiments.methods.fields.plus.in_units"),
        ("task_relatedness", "experiments.methods.fields.one_map.left_over"),
        ("pairwise", "experiments.methods.fields.one_map.left_over"),
    ],
)
def test_what_a_testbed_offers_decides_how_modelgif_plus_reads(testbed, distance, config):
    method = config(f"testbed={testbed}", "method=modelgif_plus")["method"]
    assert method["distance"]["_target_"] == distance
    assert method["label"] == "ModelGiF+"
    get_method(method["represent"]["_target_"])
