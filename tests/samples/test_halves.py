"""Who has which of CIFAR-10's photographs at paper scale."""

import itertools

import pytest
import torch
from hydra.utils import instantiate

from experiments.interfaces import Samples
from experiments.samples import halves


@pytest.fixture
def archive(monkeypatch):
    """Images whose only pixel says which one it is."""

    def read(source, root):
        first, count = (0, 50000) if source == "train" else (50000, 10000)
        return Samples(torch.arange(first, first + count).view(-1, 1, 1, 1).float(), torch.arange(count) % 10)

    monkeypatch.setattr(halves, "cifar", read)
    halves._shuffled.cache_clear()
    yield
    halves._shuffled.cache_clear()


PARTS = halves.SHARES["train"] | halves.SHARES["test"]


def test_everybodys_photographs_are_disjoint_and_victim_and_attackers_have_half_of_the_training_images(archive):
    parts = {part: set(halves.halves(part, root="").inputs.flatten().tolist()) for part in PARTS}
    assert {part: len(images) for part, images in parts.items()} == PARTS
    assert not any(one & other for one, other in itertools.combinations(parts.values(), 2))
    assert parts["victim"] | parts["attacker"] == set(range(50000))
    few = halves.halves("owner", 10, root="")
    assert torch.equal(few.inputs, halves.halves("owner", root="").inputs[:10])
    assert torch.equal(few.labels, few.inputs.flatten().long() % 10)


@pytest.mark.parametrize("of", [halves.halves, halves.corrupted, halves.turned])
def test_a_rehearsal_needs_no_files_and_its_parts_are_disjoint(of):
    parts = [of(part, root="nowhere", dry_run=True) for part in PARTS]
    assert all(images.inputs.shape == (16, 3, 32, 32) and len(images.labels) == 16 for images in parts)
    everything = torch.cat([images.inputs for images in parts])
    assert len(everything.flatten(1).unique(dim=0)) == len(everything)


def test_what_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"part must be one of victim, attacker, .*, not 'vicitm'"):
        halves.halves("vicitm", root="")
    with pytest.raises(ValueError, match="part 'owner' has 4400 images, so size must lie between 1 and that, not 9999"):
        halves.halves("owner", 9999, root="")
    with pytest.raises(ValueError, match="cannot read CIFAR-10 in nowhere"):
        halves.halves("owner", root="nowhere")


def test_a_rehearsed_zoo_has_a_model_of_every_role_and_family_of_the_whole_one(config):
    def zoo(*words):
        place = ["testbed/zoo=lineage_cifar10", "testbed/samples=toy", *words]
        return instantiate(config(*place)["testbed"]["zoo"], _convert_="all")

    whole, small = zoo(), zoo("dry_run=true")
    of = [{(model.role, model.architecture) for model in models.values()} for models in (whole, small)]
    # One independent model of each family learns from few images, and nobody keeps what it was halfway.
    assert {one for one in of[0] if one[0] != "independent_early"} == of[1]
    assert len(small) == len(of[1]) < len(whole)


def test_a_rehearsed_model_of_each_kind_is_made_without_any_files(config, tmp_path):
    place = ["testbed/zoo=lineage_cifar10", "dry_run=true", f"cache={tmp_path}"]
    zoo = instantiate(config(*place, "testbed.zoo.victims=[mobilenet_v2]")["testbed"]["zoo"], _convert_="all")
    for role in ("extract_adv", "pruning", "finetune_l", "transfer_10c", "transfer_a"):
        model = next(one for one in zoo.values() if (one.role, one.architecture) == (role, "mobilenet_v2"))
        model.prepare()
        assert model.load()(torch.rand(2, 3, 32, 32)).shape == (2, 10)
