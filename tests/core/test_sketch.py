"""A model as a vector: inner products of sketches against field distances."""

import pytest
import torch
from torch import nn

from modelgif_core import Paths, cosine, embed, euclidean, extract_field, sketch_distance, sketch_distances

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


def test_the_chunk_does_not_matter():
    whole, parts = (embed(network(0), PATHS, dims=256, steps=5, chunk=chunk) for chunk in (12, 5))
    torch.testing.assert_close(whole.vector, parts.vector, rtol=1e-5, atol=1e-6)
    assert whole.reference == parts.reference


def test_dead_paths_are_left_out():
    gate = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

    class Gated(nn.Module):
        def forward(self, inputs):
            return gate(inputs) * (inputs.flatten(1)[:, :1] < 0.4)

    paths = Paths(PATHS.ends * 0.999, PATHS.ends)  # short, so that the gate is open or shut on a whole path
    one, other = (embed(model, paths, dims=4096, steps=3) for model in (gate, Gated()))
    dead = ~other.alive.any(1)
    assert 0 < dead.sum() < len(paths)
    exact = cosine(*(extract_field(model, paths, steps=3) for model in (gate, Gated()))).nanmean()
    assert sketch_distance(one, other) == pytest.approx(exact.item(), abs=0.03)


@pytest.mark.parametrize("change", [{"steps": 6}, {"seed": 1}, {"cumulative": False}, {"paths": 11}])
def test_other_reference_sets_are_refused(change):
    paths = PATHS[: change.pop("paths", 12)]
    one, other = embed(network(0), PATHS, steps=5), embed(network(0), paths, **{"steps": 5, **change})
    with pytest.raises(ValueError, match="different reference sets"):
        sketch_distance(one, other)


def test_what_has_no_sketch_is_refused():
    with pytest.raises(ValueError, match="only these are inner products"):
        embed(network(0), PATHS, metric="frechet")
    with pytest.raises(ValueError, match="at least 1"):
        embed(network(0), PATHS, dims=0)
    with pytest.raises(ValueError, match="no embedding"):
        sketch_distances([])


def test_an_embedding_survives_its_file_and_damage_is_noticed(tmp_path):
    from experiments.storage.embeddings import load_embedding, save_embedding

    one = embed(network(0), PATHS, dims=64, steps=5)
    save_embedding(tmp_path / "one.safetensors", one)
    again = load_embedding(tmp_path / "one.safetensors")
    assert sketch_distance(one, again) == 0
    assert again.reference == one.reference
    content = bytearray((tmp_path / "one.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "one.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match="damaged"):
        load_embedding(tmp_path / "one.safetensors")
