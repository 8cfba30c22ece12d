"""Photographs are shared out without overlap, and other tasks keep what mirroring leaves alone."""

import itertools

import pytest
import torch

from experiments.interfaces import Samples
from experiments.samples import photographs


@pytest.fixture(autouse=True)
def drawn(monkeypatch):
    """Random pixels in the place of the folder's."""
    counts = {"train": sum(photographs.PARTS.values()), "test": sum(photographs.JUDGED.values())}

    def read(source, root):
        random = torch.Generator().manual_seed(len(source))
        return Samples(torch.rand(counts[source], 3, 4, 4, generator=random), torch.arange(counts[source]) % 10)

    monkeypatch.setattr(photographs, "_read", read)
    for made in (photographs.corrupted, photographs.turned):
        made.cache_clear()


def test_no_two_parts_share_an_image_and_every_part_has_all_classes_alike():
    parts = {part: photographs.photographs(part, root="any") for part in photographs.PARTS | photographs.JUDGED}
    seen = {part: {image.numpy().tobytes() for image in samples.inputs} for part, samples in parts.items()}
    for one, other in itertools.combinations(seen, 2):
        assert not seen[one] & seen[other]
    for samples in parts.values():
        assert len(samples.labels.bincount().unique()) == 1
    assert torch.equal(photographs.references(root="any").inputs, parts["references"].inputs)


def test_a_smaller_part_begins_a_larger_one_and_one_that_is_not_there_is_refused():
    few = photographs.photographs("victim", 30, root="any")
    assert torch.equal(few.inputs, photographs.photographs("victim", root="any").inputs[:30])
    with pytest.raises(ValueError, match="must be one of victim, attacker, owner, stranger, evaluation, references"):
        photographs.photographs("nobody", root="any")
    with pytest.raises(ValueError, match="has 4000 images, so size must lie between 1 and that, not 4001"):
        photographs.photographs("owner", 4001, root="any")


def test_corruption_changes_every_image_and_no_label_and_stays_in_the_unit_range():
    clean, worse = (made("stranger", 40, root="any") for made in (photographs.photographs, photographs.corrupted))
    assert torch.equal(clean.labels, worse.labels)
    assert (clean.inputs != worse.inputs).flatten(1).any(1).all()
    assert worse.inputs.min() >= 0
    assert worse.inputs.max() <= 1


def test_half_of_the_photographs_are_upside_down_as_their_labels_say():
    clean, turned = (made("owner", 400, root="any") for made in (photographs.photographs, photographs.turned))
    upside = turned.labels % 2 == 1
    assert 120 < upside.sum() < 280
    assert torch.equal(turned.inputs[upside], clean.inputs[upside].rot90(2, (2, 3)))
    assert torch.equal(turned.inputs[~upside], clean.inputs[~upside])
    assert torch.equal(turned.labels // 2, clean.labels // 2)
