"""Task relatedness: truth, transfer and scoring, on the toy zoo and on made-up numbers."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hydra.utils import instantiate

from experiments.measure import measure
from experiments.testbeds.task_relatedness import affinity, sound, transfer
from experiments.testbeds.task_relatedness.rooms.standardised import Scenes
from experiments.testbeds.task_relatedness.tasks import FAMILIES, TASKS
from experiments.testbeds.task_relatedness.testbed import chance, families, references
from experiments.training.recipe import Making

TOY = ["testbed=task_relatedness", "testbed/zoo=toy_tasks", "testbed/samples=toy", "testbed.budget=16"]


@pytest.fixture
def testbed(config):
    return instantiate(config(*TOY)["testbed"], _convert_="all")


def distances(testbed, square):
    """One column of distances from a matrix."""
    index = pd.MultiIndex.from_tuples(testbed.pairs(), names=["source", "target"])
    return pd.DataFrame([[square.loc[pair]] for pair in testbed.pairs()], index=index)


def test_all_pairs_by_matrix_products_are_the_pairs_one_by_one(testbed, config):
    method = instantiate(config(*TOY, "method=modelgif", "method.represent.steps=3")["method"], _convert_="all")
    assert method.pairwise is not None
    slow = replace(method, pairwise=None)
    together, cost = measure(testbed, method, torch.device("cpu"), chunk=5)
    one_by_one, same = measure(testbed, slow, torch.device("cpu"), chunk=5)
    assert together.index.equals(one_by_one.index)
    assert np.allclose(together, one_by_one, atol=1e-6, equal_nan=True)
    assert cost["cost/gradient_per_model"] == same["cost/gradient_per_model"] == testbed.budget * 3


def test_families_cover_the_seventeen_tasks_once():
    assert sorted(task for tasks in FAMILIES.values() for task in tasks) == sorted(TASKS)
    assert len(TASKS) == 17


@pytest.mark.parametrize("swap", [False, True])
def test_families_stand_apart_where_their_tasks_are_nearer_to_each_other_than_to_others(swap):
    names = ["curvature", "normal", "denoising", "keypoints2d"]
    near = pd.DataFrame(0.9, names, names)
    for one, other in (names[:2], names[2:]):
        near.loc[one, other], near.loc[other, one] = (0.1, 0.95)[:: -1 if swap else 1]  # the mean of both directions
    assert families(near, "f") == {"f": 1.0}
    assert families(1 - near, "f") == {"f": 0.0}


def test_families_are_not_told_of_tasks_that_are_not_taskonomys_or_whose_pairs_are_all_of_one_kind():
    for names in (["curvature", "normal", "denoising", "task_00"], ["curvature", "normal"], ["curvature", "denoising"]):
        assert families(pd.DataFrame(0.5, names, names), "f") == {}


def test_a_distance_that_orders_sources_as_the_truth_does_scores_as_high_as_a_symmetric_one_can(testbed):
    truth = testbed.affinity(testbed.zoo)
    symmetric = affinity.dissimilarity(truth.affinity)
    good = testbed.score(distances(testbed, symmetric)).metrics
    bad = testbed.score(distances(testbed, -symmetric)).metrics
    assert good["spearman_without"] == pytest.approx(good["ceiling/symmetrised/spearman_without"])
    assert good["spearman_without"] > 0.5
    assert bad["spearman_without"] < -0.5
    assert good["mantel_p"] < 0.05
    assert good["best_source_found"] == 1
    for end in ("low", "high"):
        assert (good["spearman_without"] - good[f"spearman_without/{end}"]) * (1 if end == "low" else -1) > 0


def test_the_diagonal_alone_lifts_a_score_that_knows_nothing(testbed):
    metrics = testbed.score(distances(testbed, affinity.dissimilarity(testbed.affinity(testbed.zoo).affinity))).metrics
    control = "control/random_symmetric"
    assert metrics[f"{control}/spearman_with"] > metrics[f"{control}/spearman_without"]


def test_chance_is_told_from_many_draws(testbed):
    random, names = np.random.default_rng(0), [f"task{number}" for number in range(17)]
    truth = pd.DataFrame(random.random((17, 17)), names, names)
    one, many, same = (chance(truth, draws=draws) for draws in (1, 20, 20))
    assert many == same
    assert abs(many["spearman_without"]) < 0.05
    assert one["spearman_without"] != many["spearman_without"]


def test_a_second_score_leaves_out_encoders_that_hardly_learnt_and_targets_without_a_truth():
    random, names = np.random.default_rng(0), list("abcdefgh")
    truth = pd.DataFrame(random.random((8, 8)), names, names)
    again = truth.copy()
    again["h"] = -truth["h"]  # what serves it best is what served it worst
    learnt = {f"learnt/{name}": 0.1 if name == "a" else 0.8 for name in names}
    without = sound.unsound([learnt, learnt], [truth, again])
    assert list(without.encoders.index) == ["a"]
    assert list(without.targets.index) == ["h"]
    halves = {f"self/{name}": 0.9 for name in names}
    assert not len(sound.unsound([learnt | halves], [truth, again]).targets)  # halves of the scenes say more than zoos
    distance = -truth
    distance.loc["a"] = distance["a"] = random.random(8)  # nonsense, and counted in the full score alone
    distance["h"] = random.random(8)
    assert sound.score(distance, truth, without).value == 1
    everything = sound.Unsound(without.encoders[:0], without.targets[:0])
    assert sound.score(distance, truth, everything).value < 1


def test_dimensions_count_targets_that_differ():
    random = np.random.default_rng(0)
    columns = random.random((4000, 3))
    assert sound.dimensions(pd.DataFrame(columns)) == pytest.approx(3, abs=0.1)
    assert sound.dimensions(pd.DataFrame(columns[:, [0, 0, 0]])) == 1


def test_the_agreement_of_a_truth_with_itself_is_recorded_target_by_target(testbed):
    square = affinity.dissimilarity(testbed.affinity(testbed.zoo).affinity)
    metrics = testbed.score(distances(testbed, square)).metrics
    agreement = [metrics[f"self/{task}"] for task in testbed.zoo]
    assert np.mean(agreement) == pytest.approx(metrics["ceiling/split_half/spearman_without"])


def test_the_mean_rank_of_a_source_ignores_the_target_it_is_asked_about():
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(generator.random((6, 6)), list("abcdef"), list("abcdef"))
    changed = frame.copy()
    changed.loc[:, "c"] = generator.random(6)
    before, after = (references(affinity.Truth(f))["control/source_mean"][0]["c"] for f in (frame, changed))
    rest = [task for task in frame if task != "c"]
    pd.testing.assert_series_equal(before[rest], after[rest])


def test_a_target_whose_distances_are_all_equal_is_counted_as_undefined_and_left_out(testbed):
    names = list(testbed.zoo)
    square = affinity.dissimilarity(testbed.affinity(testbed.zoo).affinity)
    square.loc[names[0], :] = square.loc[:, names[0]] = 0.5
    metrics = testbed.score(distances(testbed, square)).metrics
    assert metrics["undefined"] == 1
    assert f"target/{names[0]}" not in metrics
    assert np.isfinite(metrics["spearman_without"])
    constant = pd.DataFrame(0.5, names, names)
    with pytest.raises(ValueError, match="at least two"):
        testbed.score(distances(testbed, constant))


def test_fewer_than_four_tasks_and_other_roles_are_refused(testbed):
    few = dict(list(testbed.zoo.items())[:3])
    with pytest.raises(ValueError, match="at least four tasks, not 3"):
        replace(testbed, zoo=few)
    odd = {**testbed.zoo, "thief": replace(testbed.zoo["task_00"], name="thief", role="extract_l")}
    with pytest.raises(ValueError, match="has the roles extract_l"):
        replace(testbed, zoo=odd)


def test_an_affinity_for_other_tasks_is_refused_with_both_lists(testbed):
    published = partial(affinity.published, file="taskonomy_affinity_17x17.csv")
    with pytest.raises(ValueError, match=r"knows no task task_00.*it has autoencoding"):
        replace(testbed, affinity=published).score(distances(testbed, pd.DataFrame(0.0, testbed.zoo, testbed.zoo)))


def test_the_ordinal_affinity_is_the_principal_eigenvector_of_the_ratios_of_wins():
    errors = np.random.default_rng(0).random((5, 2, 30))
    found = affinity.ordinal(errors)
    assert found.sum(0) == pytest.approx(1)
    wins = (errors[:, None, 0] < errors[None, :, 0]).mean(2)
    np.fill_diagonal(wins, 0.5)
    ratios = (wins := wins.clip(0.001, 0.999)) / wins.T
    growth = ratios @ found[:, 0] / found[:, 0]
    assert growth == pytest.approx(growth[0])


def test_both_affinities_prefer_a_source_with_smaller_errors_everywhere():
    errors = np.random.default_rng(0).random((4, 3, 50)) + np.arange(4)[:, None, None]
    for normalise in (affinity.gain, affinity.ordinal):
        assert (np.diff(normalise(errors), axis=0) < 0).all()
    assert affinity.gain(np.zeros((2, 2, 5))) == pytest.approx(1)


def test_blocks_come_apart_and_together_again():
    targets = torch.randn(3, 5, 32, 32)
    rows = transfer.blocks(targets, 8)
    assert rows.shape == (3 * 64, 5 * 16)
    torch.testing.assert_close(transfer.unblock(rows, targets.shape, 8), targets)
    vectors = torch.randn(3, 7)
    assert transfer.unblock(transfer.blocks(vectors, 8), vectors.shape, 8) is vectors


def test_rows_of_patches_and_of_blocks_belong_to_the_same_position():
    maps = torch.zeros(1, 1, 8, 8)
    maps[0, 0, 2, 5] = 1
    targets = torch.zeros(1, 1, 32, 32)
    targets[0, 0, 8:12, 20:24] = 1  # the block of position (2, 5)
    centre = transfer.patches(maps)[:, 4]
    assert centre.argmax() == transfer.blocks(targets, 8).sum(1).argmax() == 2 * 8 + 5


def test_a_linear_relation_is_found_exactly_and_noise_costs_what_the_mean_costs():
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(60, 4, 8, 8, generator=generator)
    mixing = torch.randn(16, 4, generator=generator)
    dense = torch.nn.functional.pixel_shuffle(torch.einsum("oc,nchw->nohw", mixing, maps), 4)
    noise = torch.randn(60, 1, 32, 32, generator=generator)
    targets = {name: (values[:40], values[40:]) for name, values in {"linear": dense, "noise": noise}.items()}
    found = transfer.errors((maps[:40], maps[40:]), targets, probe=transfer.ridge)
    assert found["linear"].mean() < 1e-6 * dense.square().mean()
    assert found["noise"].mean() == pytest.approx(1, abs=0.1)
    trained = transfer.errors((maps[:40], maps[40:]), targets, probe=transfer.small_network)
    assert trained["linear"].mean() < 0.7 * dense.square().mean()


def test_a_small_network_learns_from_few_rows_and_does_not_know_them_by_heart():
    generator = torch.Generator().manual_seed(2)
    features, noise = torch.randn(400, 8, generator=generator), torch.randn(400, 2, generator=generator)
    bent = features[:, :2].abs() - 0.8
    for targets, low, high in ((bent, 0, 0.6 * bent.square().mean()), (noise, 0.9, 1.2)):
        predict = transfer.small_network(features[:300], targets[:300])
        assert low < (predict(features[300:]) - targets[300:]).square().mean() < high


def test_denoising_is_read_from_images_with_noise_which_no_other_part_has(monkeypatch):
    from experiments.testbeds.task_relatedness import encoders

    seen, images = {}, torch.rand(4, 3, 8, 8)

    def errors(maps, targets, **_):
        seen.update(dict.fromkeys(targets, maps))
        return {}

    monkeypatch.setattr(encoders.transfer, "errors", errors)
    scenes = Scenes(images, dict.fromkeys(TASKS, torch.ones(4, 1)))
    encoders._transfer(torch.nn.Identity(), lambda part: scenes, transfer.ridge)
    assert set(seen) == set(TASKS)
    fitted, judged = seen["denoising"]
    assert len({image.numpy().tobytes() for image in (fitted[0], judged[0], images[1])}) == 3
    assert all(torch.equal(part, images[1::2]) for part in seen["autoencoding"])


def test_ridge_without_noise_agrees_with_scikit_learn():
    from sklearn.linear_model import Ridge

    generator = torch.Generator().manual_seed(1)
    features = torch.randn(200, 6, generator=generator)
    targets = features @ torch.randn(6, 2, generator=generator) + 0.1 * torch.randn(200, 2, generator=generator)
    ours = transfer.ridge(features, targets)(features)
    theirs = Ridge(alpha=1e-6).fit(features, targets).predict(features)
    assert np.abs(ours.numpy() - theirs).max() < 1e-2


def test_ridge_penalises_each_output_as_much_as_keeps_its_noise_out_of_predictions():
    generator = torch.Generator().manual_seed(0)
    features, new = torch.randn(2, 60, 50, generator=generator)
    mixing = torch.randn(50, 15, generator=generator)
    noise, other = torch.randn(2, 60, 15, generator=generator)
    predict = transfer.ridge(features, torch.cat([features @ mixing, noise], dim=1))
    linear, nothing = predict(new).split(15, dim=1)
    assert (linear - new @ mixing).square().mean() < 0.01 * (new @ mixing).square().mean()
    assert (nothing - other).square().mean() < 1.3 * other.square().mean()


def test_the_zoo_on_rooms_has_one_encoder_a_task_and_refuses_what_it_does_not_know(config, tmp_path):
    from experiments.testbeds.task_relatedness import encoders as rooms

    settings = config("testbed=task_relatedness")["testbed"]["zoo"] | {"cache": str(tmp_path)}
    settings.pop("_target_")
    zoo = rooms.tasks(**settings)
    assert list(zoo) == list(TASKS)
    assert len({model.load.args[0].file() for model in zoo.values()}) == 17
    with pytest.raises(FileNotFoundError, match=r"python -m experiments\.prepare testbed=task_relatedness"):
        zoo["normal"].load()
    for key, value in [("initialisation", "none"), ("probe", "none"), ("scale", "none"), ("tasks", ["none"])]:
        with pytest.raises(ValueError, match=rf"{key} must be one of .*not 'none'"):
            rooms.tasks(**settings | {key: value})
    with pytest.raises(ValueError, match="at least four different tasks, not 2"):
        rooms.tasks(**settings, tasks=["normal", "curvature", "normal"])


def test_encoders_share_initial_weights_exactly_where_they_should(config, monkeypatch):
    from experiments.testbeds.task_relatedness import encoders

    begun = {}
    monkeypatch.setattr(encoders, "fit", lambda network, *_, **settings: begun.update(network=network))
    monkeypatch.setattr(encoders, "predictions", lambda network, images: torch.zeros(2, 1, 32, 32))
    scenes = Scenes(torch.rand(2, 3, 64, 64), dict.fromkeys(TASKS, torch.ones(2, 1, 32, 32)))
    settings = config("testbed=task_relatedness")["testbed"]["zoo"]
    settings.pop("_target_")

    def first(task, initialisation, seed=0):
        zoo = encoders.tasks(**settings | {"initialisation": initialisation, "seed": seed})
        recipe = zoo[task].load.args[0]
        making = Making(
            scenes, [], lambda seed: recipe.network(seed=seed), recipe.own_seed, lambda epoch, model: None, Path("none")
        )
        recipe.make(making, held_out=lambda: scenes)
        return begun["network"][0][0].weight

    assert torch.equal(first("normal", "shared"), first("curvature", "shared"))
    assert not torch.equal(first("normal", "shared"), first("normal", "shared", seed=1))
    assert not torch.equal(first("normal", "own"), first("curvature", "own"))
    assert not torch.equal(first("normal", "own"), first("normal", "shared"))
