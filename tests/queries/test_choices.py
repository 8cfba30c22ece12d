"""Which samples of the pool are shown: where the source errs, nearly errs, or parts from independent models."""

from dataclasses import replace

import pytest
import torch
from hydra.utils import instantiate

from experiments.interfaces import Offered, Samples, ZooModel
from experiments.offers import offered
from experiments.queries.boundary import low_margin_samples, misclassified_samples
from experiments.queries.cutmix import cutmix_samples
from experiments.queries.pools import pools
from experiments.queries.samples import random_samples
from experiments.queries.separating import ranked_samples
from experiments.queries.starts import black, mean_colour, mean_image, mid_grey, other_samples
from experiments.samples import toy as images
from experiments.testbeds.ip_protection import toy
from modelgif_core import Paths, cosine, extract_field
from modelgif_core.readout import given_label


def represent(model, paths):
    return extract_field(model, paths, steps=4)


@pytest.fixture
def shown():
    return Offered(images.toy(), 24, model(0))


@pytest.fixture
def answers(shown):
    """What the source answers on the whole pool."""
    return shown.source.load()(shown.samples.inputs).argmax(1)


def model(seed):
    return ZooModel(f"network-{seed}", "any", "toy", lambda: toy.network(seed))


def given(shown, labels):
    return replace(shown, samples=Samples(shown.samples.inputs, labels))


def test_misclassified_samples_are_what_the_source_gets_wrong(shown):
    found = misclassified_samples(shown, seed=0)
    assert len(found.inputs) == len(found.labels) == 24
    assert (shown.source.load()(found.inputs).argmax(1) != found.labels).all()


def test_cutmix_fills_a_short_supply_of_mistakes_and_keeps_the_labels_of_what_is_pasted_into(shown, answers):
    labels = answers.clone()
    labels[:3] = (labels[:3] + 1) % 10
    found = misclassified_samples(given(shown, labels), seed=0)
    wrong = {
        image.numpy().tobytes(): int(label) for image, label in zip(shown.samples.inputs[:3], labels, strict=False)
    }
    assert len(found.inputs) == len(found.labels) == 24
    assert {
        image.numpy().tobytes(): int(label) for image, label in zip(found.inputs[:3], found.labels, strict=False)
    } == wrong
    pasted = [[at for at in range(3) if holds(image, shown.samples.inputs[at])] for image in found.inputs[3:]]
    named = [{int(labels[at]) for at in options} for options in pasted if len(options) == 1]
    assert sum(len(options) == 1 for options in pasted) > 5
    kept = [int(label) for label, options in zip(found.labels[3:], pasted, strict=True) if len(options) == 1]
    assert all(label in options for label, options in zip(kept, named, strict=True))


def holds(mixed, image):
    """Whether most of an image is this one, or its mirror image."""
    return any((mixed == turned).float().mean() > 0.6 for turned in (image, image.flip(1), image.flip(2)))


def test_a_source_that_errs_nowhere_or_is_not_there_and_missing_labels_are_refused(shown, answers):
    with pytest.raises(ValueError, match="classifies the whole pool correctly"):
        misclassified_samples(given(shown, answers), seed=0)
    with pytest.raises(ValueError, match="needs labelled samples; take"):
        misclassified_samples(given(shown, None), seed=0)
    for choose in (misclassified_samples, low_margin_samples):
        with pytest.raises(ValueError, match="the method's needs must name `source`"):
            choose(replace(shown, source=None), seed=0)


def test_low_margin_samples_are_those_nearest_to_the_boundary(shown):
    def margins(inputs):
        first, second = shown.source.load()(inputs).topk(2, dim=1).values.T
        return first - second

    assert margins(low_margin_samples(shown, seed=0).inputs).max() <= margins(shown.samples.inputs).sort().values[24]


def test_mixed_samples_keep_the_labels_of_the_images_pasted_into(shown):
    plain, mixed = random_samples(shown, seed=0), cutmix_samples(shown, seed=0, alpha=0.3)
    assert torch.equal(plain.labels, mixed.labels)
    assert not torch.equal(plain.inputs, mixed.inputs)
    assert cutmix_samples(given(shown, None), seed=0).labels is None


def test_separating_points_part_strangers_from_surrogates_better_than_random_ones(shown):
    zoo = {"far": [model(1), model(2)], "near": [model(0)]}
    settings = {"start": black, "represent": represent, "distance": cosine, "seed": 0}
    handed = replace(shown, models=zoo)

    def gap(samples):
        paths = Paths(black(samples.inputs, samples.inputs), samples.inputs)
        source, *others = (represent(model(seed).load(), paths) for seed in (0, 1, 2))
        return sum(cosine(source, other).mean() for other in others)

    assert gap(ranked_samples(handed, **settings)) > gap(random_samples(handed, seed=0))
    with pytest.raises(ValueError, match="need budget <= candidates <= pool, not 24 <= 4 <= 64"):
        ranked_samples(handed, **settings, candidates=4)
    with pytest.raises(ValueError, match="roles must name some for `far`"):
        ranked_samples(shown, **settings)


def test_candidates_are_ranked_by_what_their_labels_follow(shown):
    def follow(model, paths):
        return extract_field(model, paths, steps=2, readout=given_label)

    handed = replace(shown, models={"far": [model(1)]}, budget=4)
    found = ranked_samples(handed, start=black, represent=follow, distance=cosine, seed=0)
    whole = Paths(torch.zeros(()), shown.samples.inputs, shown.samples.labels)
    farthest = cosine(*(follow(toy.network(seed), whole) for seed in (0, 1))).argsort(descending=True)[:4]
    assert torch.equal(found.inputs, shown.samples.inputs[farthest])
    assert torch.equal(found.labels, shown.samples.labels[farthest])


def test_paths_that_start_where_others_end_cannot_be_ranked_because_others_would_be_shown(shown):
    handed = replace(shown, models={"far": [model(1)]})
    settings = {"represent": represent, "distance": cosine, "seed": 0}
    for start in (other_samples, lambda ends, pool: ends.mean(0, keepdim=True)):
        with pytest.raises(
            ValueError, match=r"start depends on where the others end, .*; take a start of its own, such"
        ):
            ranked_samples(handed, start=start, **settings)
    for start in (mid_grey, mean_colour, mean_image):
        assert len(ranked_samples(handed, start=start, **settings).inputs) == 24


def test_a_model_without_a_field_does_not_change_which_points_separate(shown):
    blind = toy.network(0)
    for parameter in blind.parameters():
        torch.nn.init.zeros_(parameter)
    dead = ZooModel("dead", "any", "toy", lambda: blind)
    settings = {"start": black, "represent": represent, "distance": cosine, "seed": 0}
    with_dead, without = (
        ranked_samples(replace(shown, models={"far": far}), **settings)
        for far in ([model(1), dead, model(2)], [model(1), model(2)])
    )
    assert torch.equal(with_dead.inputs, without.inputs)
    with pytest.raises(ValueError, match="no sample can be ranked"):
        ranked_samples(replace(shown, models={"far": [dead]}), **settings)


@pytest.mark.parametrize(
    ("honest", "false"), [("modelgif", "modelgif/false_claim"), ("logit_cosine", "logit_cosine_false_claim")]
)
def test_a_false_claim_brings_scored_strangers_nearer_beside_the_accusers_own(honest, false, method, config):
    testbed = instantiate(config("testbed/zoo=toy", "testbed/samples=toy", "testbed.budget=16")["testbed"])

    def gap(name):
        made = method(name, "testbed/zoo=toy", "testbed/samples=toy", "testbed.budget=16")
        queries = made.queries(offered(made, testbed))
        own = made.represent(testbed.zoo["victim"].load(), queries)

        def mean(*roles):
            models = [model.load() for model in testbed.zoo.values() if model.role in roles]
            return sum(float(made.distance(own, made.represent(model, queries)).mean()) for model in models) / len(
                models
            )

        return mean("unrelated_original", "matched_original") - mean("independent")

    assert gap(false) < gap(honest) - 0.02


def test_pools_are_refused_where_there_are_none(shown):
    with pytest.raises(ValueError, match="needs pools of images to forget and to retain; take testbed=unlearning"):
        pools(shown)
