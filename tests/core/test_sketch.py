"""A model as a vector: inner products of sketches against field distances."""

from dataclasses import dataclass
from functools import partial

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from modelgif_core import (
    Embedding,
    Fast,
    Paths,
    cosine,
    embed,
    euclidean,
    extract_field,
    prepared,
    sketch_distance,
    sketch_distances,
)
from modelgif_core.quadrature import gauss_legendre
from modelgif_core.sketch import _name, _stretches

PATHS = Paths(torch.zeros(()), torch.rand(12, 1, 8, 8, generator=torch.Generator().manual_seed(0)))


def network(seed):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(1, 6, 3), nn.Tanh(), nn.Flatten(), nn.Linear(216, 10)).eval()


def field(model):
    return extract_field(model, PATHS, steps=5)


def test_the_mean_cosine_distance_is_exactly_one_minus_an_inner_product():
    from modelgif_core.distance import unit

    one, other = field(network(0)), field(network(1))
    u, v = (unit(part).flatten() / (len(PATHS) * 5) ** 0.5 for part in (one, other))
    assert 1 - u @ v == pytest.approx(cosine(one, other).mean().item(), abs=1e-6)


@pytest.mark.parametrize("dims", [256, 4096])
def test_sketches_estimate_the_distance_within_their_error(dims):
    models = [network(seed) for seed in range(8)]
    fields = [field(model) for model in models]
    exact = torch.tensor([[cosine(a, b).nanmean() for b in fields] for a in fields])
    errors = []
    for seed in range(4):
        embeddings = [embed(model, PATHS, dims=dims, seed=seed, steps=5) for model in models]
        off = ~torch.eye(8, dtype=torch.bool)
        errors.append(((sketch_distances(embeddings) - exact)[off] / exact[off]).square().mean())
    assert torch.stack(errors).mean().sqrt() < 1.3 * embeddings[0].relative_error


def test_euclidean_sketches_estimate_the_root_mean_square_difference():
    one, other = network(0), network(1)
    exact = (field(one) - field(other)).norm(dim=2).square().mean().sqrt()
    found = [
        sketch_distance(*(embed(model, PATHS, metric="euclidean", seed=seed, steps=5) for model in (one, other)))
        for seed in range(8)
    ]
    assert torch.tensor(found).mean() == pytest.approx(exact.item(), rel=0.03)
    assert exact >= euclidean(field(one), field(other)).mean()  # of which it is the root mean square


def test_twins_are_at_distance_zero_and_near_models_are_told_from_them():
    model, near = network(0), network(0)
    with torch.no_grad():
        near[3].weight += 1e-3 * torch.randn(near[3].weight.shape, generator=torch.Generator().manual_seed(1))
    embeddings = [embed(each, PATHS, dims=512, steps=5) for each in (model, network(0), near)]
    found = sketch_distances(embeddings)
    assert found[0, 1] == 0
    exact = cosine(field(model), field(near)).mean().item()
    assert found[0, 2] == pytest.approx(exact, rel=0.3)
    assert exact < 1e-3


class Steep(nn.Module):
    """Outputs that depend on the size of the batch by rounding, as products may; gradients that magnify rounding."""

    def __init__(self):
        super().__init__()
        layers = [nn.Flatten(), nn.Linear(64, 33), nn.BatchNorm1d(33), nn.Tanh(), nn.Linear(33, 10)]
        self.layers = nn.Sequential(*layers)

    def forward(self, inputs):
        hidden = self.layers(inputs) * (1 + len(inputs) * 2**-23)
        return hidden + torch.cos(1e6 * hidden) / 1e6


def test_a_steep_model_has_another_field_in_other_batches_and_when_it_is_prepared():
    torch.manual_seed(0)
    model = Steep().eval()
    ready = prepared(model, PATHS.ends[:1])
    usual, batched = (extract_field(ready, PATHS, steps=50, batch_size=size) for size in (50, 100))
    plain = torch.cat([extract_field(model, part, steps=50) for part in PATHS.split(1)])  # too few to be prepared
    assert (batched - usual).norm() > 1e-3 * usual.norm()
    assert (plain - usual).norm() > 1e-3 * usual.norm()


@pytest.mark.parametrize("steps", [7, 40, 50, 130])
def test_the_chunk_does_not_matter_even_to_a_steep_model(steps):
    torch.manual_seed(0)
    model = Steep().eval()
    first, *others = (embed(model, PATHS, dims=256, steps=steps, chunk=chunk) for chunk in (12, 5, 2, 1))
    for other in others:
        torch.testing.assert_close(other.vector, first.vector, rtol=1e-6, atol=1e-6)
        assert other.reference == first.reference


def test_the_size_of_an_embedding_does_not_depend_on_paths_or_steps():
    def size(paths, steps):
        one = embed(network(0), paths, dims=64, steps=steps)
        return sum(part.numel() * part.itemsize for part in (one.vector, one.dead, one.points))

    assert size(PATHS[:1], 2) == size(PATHS, 2) == size(PATHS, 50)


def gated():
    gate = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

    class Gated(nn.Module):
        def forward(self, inputs):
            return gate(inputs) * (inputs.flatten(1)[:, :1] < 0.4)

    return gate, Gated()


def test_dead_paths_are_left_out():
    models = gated()
    paths = Paths(PATHS.ends * 0.999, PATHS.ends)  # short, so that the gate is open or shut on a whole path
    one, other = (embed(model, paths, dims=4096, steps=3) for model in models)
    assert one.dead.tolist() == []
    shut = {int(point) // 3 for first, last in other.dead for point in range(first, last + 1)}
    assert shut == {path for path, end in enumerate(paths.ends) if end.flatten()[0] >= 0.4}
    assert 0 < len(shut) < len(paths)
    exact = cosine(*(extract_field(model, paths, steps=3) for model in models)).nanmean()
    assert sketch_distance(one, other) == pytest.approx(exact.item(), abs=0.03)


def test_where_fields_vanish_is_kept_exactly():
    dead = torch.rand(40, generator=torch.Generator().manual_seed(0)) < 0.5
    found = torch.zeros(40, dtype=torch.bool)
    for first, last in _stretches(dead).tolist():
        found[first : last + 1] = True
    assert torch.equal(found, dead)
    assert _stretches(torch.ones(40).bool()).tolist() == [[0, 39]]


def test_models_that_are_never_alive_together_have_no_distance():
    torch.manual_seed(0)
    layers = [nn.Flatten(), nn.Linear(64, 10)]

    class Split(nn.Module):
        def __init__(self, above):
            super().__init__()
            self.above, self.layers = above, nn.Sequential(*layers)

        def forward(self, inputs):
            return self.layers(inputs) * ((inputs.flatten(1)[:, :1] > 0.5) == self.above)

    one, other = (embed(Split(above), PATHS, dims=64, steps=5, cumulative=False) for above in (True, False))
    found = sketch_distances([one, other, one])
    assert found[0, 1].isnan()
    assert found[0, 2] == 0


@pytest.mark.parametrize("change", [{"steps": 6}, {"seed": 1}, {"cumulative": False}, {"paths": 11}])
def test_other_reference_sets_are_refused(change):
    paths = PATHS[: change.pop("paths", 12)]
    one, other = embed(network(0), PATHS, steps=5), embed(network(0), paths, **{"steps": 5, **change})
    with pytest.raises(ValueError, match="different reference sets"):
        sketch_distance(one, other)


def mean_of(values, k=1):
    return values.flatten(1) * k


@dataclass(frozen=True)
class Kept:
    k: int

    def __call__(self, values):
        return values.flatten(1)[:, : self.k]


class Nameless:
    def __call__(self, values):
        return values.flatten(1)


def test_a_setting_is_the_same_whether_it_is_named_or_left_out():
    one, other = embed(network(0), PATHS[:3]), embed(network(0), PATHS[:3], steps=50, rule=gauss_legendre)
    assert one.reference == other.reference
    assert torch.equal(one.vector, other.vector)


def test_settings_are_told_apart_by_name_and_arguments():
    views = [mean_of, partial(mean_of, k=2), partial(mean_of, k=3), Kept(3), Kept(4), torch.flatten]
    views += [partial(mean_of, k=torch.arange(k)) for k in (2000, 3000)]
    assert len({_name(view) for view in views}) == len(views)
    assert _name(partial(mean_of, 2)) != _name(partial(mean_of, 3))
    assert _name(partial(mean_of, k=2)) == _name(partial(mean_of, k=2))


def test_functions_that_cannot_be_told_apart_are_refused():
    def local(values):
        return values.flatten(1)

    for view in (lambda values: values.flatten(1), local, partial(local), Nameless()):
        with pytest.raises(ValueError, match="has no name that tells it from others"):
            embed(network(0), PATHS, steps=2, view=view)


def test_a_model_prepared_before_has_the_same_embedding_and_faster_arithmetic_shows_in_the_reference():
    plain = embed(network(0), PATHS, dims=64, steps=20)
    ready = embed(prepared(network(0), PATHS.ends[:1]), PATHS, dims=64, steps=20)
    assert torch.equal(plain.vector, ready.vector)
    assert plain.reference == ready.reference
    fast = prepared(network(0), PATHS.ends[:1], fast=Fast("bfloat16", tolerance=0.1))
    assert embed(fast, PATHS, dims=64, steps=20).reference != plain.reference


def test_what_has_no_sketch_is_refused():
    with pytest.raises(ValueError, match="only these are inner products"):
        embed(network(0), PATHS, metric="frechet")
    with pytest.raises(ValueError, match="at least 1"):
        embed(network(0), PATHS, dims=0)
    with pytest.raises(ValueError, match="no embedding"):
        sketch_distances([])


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_an_embedding_survives_its_file_which_holds_tensors_and_strings(tmp_path, metric):
    gate, model = gated()
    one = embed(model, PATHS, dims=64, steps=5, metric=metric)
    tensors = {key: value for key, value in vars(one).items() if isinstance(value, torch.Tensor)}
    strings = {key: value for key, value in vars(one).items() if isinstance(value, str)}
    save_file(tensors, tmp_path / "one.safetensors", strings)
    with safe_open(tmp_path / "one.safetensors", "pt") as file:
        again = Embedding(**{key: file.get_tensor(key) for key in file.keys()}, **file.metadata())  # noqa: SIM118
    assert sketch_distance(one, again) == 0
    other = embed(gate, PATHS, dims=64, steps=5, metric=metric)
    assert sketch_distance(one, other) == sketch_distance(again, other)


def test_a_model_that_is_dead_everywhere_has_no_distance_not_even_from_itself():
    blind = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    nn.init.zeros_(blind[1].weight)
    found = sketch_distances([embed(blind, PATHS, dims=64, steps=5)] * 2)
    assert found.isnan().all()
