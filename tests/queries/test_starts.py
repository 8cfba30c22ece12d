"""Where paths start, on pixels that are counted through."""

import torch

from experiments.queries import starts

POOL = torch.arange(24.0).view(2, 3, 2, 2)
ENDS = POOL[1:]


def test_the_mean_colour_is_of_all_pixels_of_the_pool_and_one_number_a_colour():
    found = starts.mean_colour(ENDS, POOL)
    assert found.shape == (1, 3, 1, 1)
    assert found.flatten().tolist() == [7.5, 11.5, 15.5]


def test_the_mean_image_is_of_all_images_of_the_pool():
    assert torch.equal(starts.mean_image(ENDS, POOL), (POOL[:1] + POOL[1:]) / 2)


def test_a_path_from_another_sample_starts_where_the_one_before_it_ends():
    assert torch.equal(starts.other_samples(POOL, POOL), POOL.flip(0))
    ends = torch.arange(3.0).view(3, 1, 1, 1)
    assert starts.other_samples(ends, POOL).flatten().tolist() == [2, 0, 1]


def test_black_and_mid_grey_are_the_same_for_every_pool():
    assert [float(start(ENDS, POOL)) for start in (starts.black, starts.mid_grey)] == [0, 0.5]
