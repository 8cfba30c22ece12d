"""What asks for something of the owner's training: triggers of its watermark, and its images."""

from dataclasses import replace

import pytest
import torch
from hydra.utils import instantiate
from torch import nn

from experiments.interfaces import NEEDS, Offered, Samples, ZooModel
from experiments.measure import measure
from experiments.methods.outputs.dataset_inference import (
    blind_walk,
    claim,
    confidence,
    less_confident,
    noise_directions,
)
from experiments.methods.outputs.pointwise import hits
from experiments.queries.triggers import trigger_samples
from experiments.samples import toy as images
from experiments.training.fit import fit

CLAIM = {"seed": 0, "examples": 30, "directions": 2, "step": 0.05, "steps": 10}


def brightness():
    """Answers 1 to one pixel brighter than a half, 0 to a darker one."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(1, 2))
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([[0.0], [2]]))
        model[1].bias.copy_(torch.tensor([1.0, 0]))
    return model.eval()


def grey(*values):
    return torch.tensor(values).view(-1, 1, 1, 1)


def learnt(samples, seed):
    """A network that knows these images by heart."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    return fit(model.train(), *samples, epochs=80, rate=1e-2, seed=seed)


def place(**changes):
    owned = images.toy(size=64, seed=1)
    victim = ZooModel("victim", "victim", "toy", lambda: learnt(owned, 0))
    return replace(Offered(images.toy(size=100), 24, source=victim, owned=owned), **changes)


def test_a_blind_walk_ends_at_the_first_step_beyond_a_known_boundary():
    samples = Samples(grey(0.15, 0.45, 0.75, 0.9), torch.tensor([0, 0, 1, 0]))
    found = blind_walk(brightness(), samples, grey(0.1, -0.1, 0.02), steps=10)
    # From 0.15 the fourth step up of 0.1 is beyond 0.5, from 0.45 the first; 0.9 is wrong from the start.
    assert torch.allclose(found[0], torch.tensor([0.4, 1.0, 1.0]))
    assert torch.allclose(found[1], torch.tensor([0.1, 1.0, 0.3]))
    assert torch.allclose(found[2], torch.tensor([1.0, 0.3, 1.0]))
    assert found[3].tolist() == [0, 0, 0]


def test_a_walk_ends_within_the_range_of_pixels():
    edge = Samples(grey(0.9), torch.tensor([1]))
    assert blind_walk(brightness(), edge, grey(5.0, -5.0), steps=3).tolist() == [[1, pytest.approx(1 / 3)]]


def test_directions_are_of_three_kinds_and_one_length():
    found = noise_directions((1, 100, 100), 2, torch.Generator().manual_seed(0))
    assert torch.allclose(found.square().flatten(1).mean(1).sqrt(), torch.ones(6), atol=1e-4)
    largest, kurtosis = found.abs().flatten(1).amax(1), found.pow(4).flatten(1).mean(1)
    assert (largest[:2] < 1.8).all()  # the root of 3, for uniform numbers
    assert kurtosis.tolist() == pytest.approx([1.8, 1.8, 3, 3, 6, 6], rel=0.25)


def test_a_model_that_learnt_from_private_images_is_told_from_those_that_did_not_by_labels_alone():
    offered = place()
    queries = claim(offered, **CLAIM)
    assert torch.equal(queries.inputs, claim(offered, **CLAIM).inputs)
    known = {image.numpy().tobytes() for image in offered.owned.inputs}
    assert [image.numpy().tobytes() in known for image in queries.inputs] == [True] * 12 + [False] * 12
    source = confidence(learnt(offered.owned, 0), queries)
    strangers = [confidence(learnt(images.toy(size=64, seed=7), seed), queries) for seed in range(1, 4)]
    again = confidence(learnt(offered.owned, 9), queries)  # the very same images: found by design
    assert less_confident(source, source).abs().max() == 0
    assert max(0, less_confident(source, again).mean()) < min(less_confident(source, far).mean() for far in strangers)


@pytest.mark.parametrize(
    ("changes", "settings", "said"),
    [
        ({"owned": None}, {}, "this choice of samples asks which images the victim has learnt from"),
        ({"source": None}, {}, "must name `source`"),
        ({"budget": 23}, {}, "testbed.budget must be even, half private and half public images, not 23"),
        ({"samples": Samples(torch.rand(100, 1, 8, 8))}, {}, "needs labelled samples"),
        ({}, {"examples": 60}, "12 private images to show and 60 for the verifier are more than the 64 that there are"),
        ({}, {"steps": 0}, "steps must be above 0, not 0"),
    ],
)
def test_a_claim_without_what_it_rests_on_is_refused(changes, settings, said):
    with pytest.raises(ValueError, match=said):
        claim(place(**changes), **CLAIM | settings)


def test_triggers_are_a_budget_of_the_pools_and_drawn_by_the_seed():
    def brighten(samples):
        return Samples(samples.inputs[:6] + 1, torch.full((6,), 3))

    offered = Offered(images.toy(size=20), 4, triggers=brighten)
    one, same, other = (trigger_samples(offered, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one.inputs, same.inputs)
    assert not torch.equal(one.inputs, other.inputs)
    assert one.labels.tolist() == [3] * 4
    assert len(one.inputs.unique(dim=0)) == 4
    with pytest.raises(ValueError, match=r"pool has 6 images .* fewer than the 7 of testbed\.budget; take a smaller"):
        trigger_samples(replace(offered, budget=7), seed=0)
    with pytest.raises(ValueError, match="this choice of samples asks for a watermark"):
        trigger_samples(replace(offered, triggers=None), seed=0)


def test_a_hit_is_an_answer_that_is_the_label():
    samples = Samples(grey(0.2, 0.4, 0.8), torch.tensor([0, 1, 1]))
    assert hits(brightness(), samples).tolist() == [1, 0, 1]
    with pytest.raises(ValueError, match="needs labelled samples"):
        hits(brightness(), Samples(samples.inputs))


@pytest.mark.parametrize(("name", "need"), [("ewe", "watermark"), ("dataset_inference", "owned")])
def test_testbeds_that_do_not_know_it_refuse_in_one_line(name, need, config):
    for toy in (["testbed/zoo=toy"], ["testbed=task_relatedness", "testbed/zoo=toy_tasks"]):
        composed = config(*toy, "testbed/samples=toy", f"method={name}", "testbed.budget=8")
        testbed, method = (instantiate(composed[part], _convert_="all") for part in ("testbed", "method"))
        assert need not in testbed.offers
        with pytest.raises(ValueError, match=r"^[^\n]+$"):
            measure(testbed, method, torch.device("cpu"))
        with pytest.raises(ValueError, match=NEEDS[need][:30]):
            measure(testbed, replace(method, needs=[need]), torch.device("cpu"))


def test_a_zoo_tells_its_victims_images_and_a_watermark_renames_the_victim_and_what_comes_of_it_alone(config):
    zoos = {
        name: instantiate(config(f"testbed/zoo={name}")["testbed"]["zoo"], _convert_="all")
        for name in ("mini", "lineage_watermarked")
    }
    plain, marked = zoos["mini"], zoos["lineage_watermarked"]
    assert plain.keys() == marked.keys()
    (victim,) = [model for model in plain.values() if model.role == "victim"]
    assert len(victim.taught().inputs) == 400
    assert victim.triggers is None
    assert marked[victim.name].triggers is not None
    assert all(model.taught is None for name, model in marked.items() if name != victim.name)
    renamed = {name: plain[name].fingerprint() != marked[name].fingerprint() for name in plain}
    alone = ("unrelated", "matched", "same_images", "held_out", "independent")
    assert all(changed != plain[name].role.startswith(alone) for name, changed in renamed.items())
