"""SAC's zoo: the victim, the suspects and the surrogates that Guan et al. (NeurIPS 2022) have trained on CIFAR-10.

Roles are those of the testbed. No model was held out by its authors, so nothing is calibrated.
"""

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypedDict

import torch
from torch import nn

from experiments.interfaces import Zoo, ZooModel
from experiments.networks.torchvision import empty
from experiments.storage.foreign import fill
from experiments.testbeds.ip_protection.sac_hub.cost import announced
from experiments.testbeds.ip_protection.sac_hub.files import (
    Places,
    fetch,
    known,
    lacking,
    located,
    verified,
    weights,
)
from experiments.testbeds.ip_protection.sac_hub.members import GROUPS, Member, members, uploaded

CLASSES = 10
NARROW = 8
"""By which a rehearsal divides the width of VGGs."""
DATA = frozenset(group.data for group in GROUPS)


class Colours(TypedDict):
    """What normalises the images of a data set: of three colours each."""

    mean: Sequence[float]
    std: Sequence[float]


def sac_hub(
    *,
    cache: str,
    root: str,
    normalisation: Mapping[str, Colours],
    folder: str | None = None,
    download: bool = False,
    complete: bool = True,
    pruned: int = 10,
    independent: int | None = None,
    device: str = "cpu",
    dry_run: bool = False,
) -> Zoo:
    """The zoo's models, for images (n, 3, 32, 32) in [0, 1]: each normalises them as the data it was trained on.

    Args:
        cache: folder in which the SHA-256 of every file is noted.
        root: folder of the authors' release.
        normalisation: CIFAR10, CIFAR10C and CIFAR100 -> means and standard deviations.
        folder: the cache of Hugging Face, if not its usual one.
        download: fetch what was uploaded to Hugging Face and is neither in its cache nor in the release.
        complete: false leaves out what was not uploaded, and the transfers to CIFAR-100 that lack strangers then.
        pruned: how many pruned models, of 15 by rising ratio; the published table has the first 10.
        independent: how many of each architecture's five strangers of the victim's task select instead of being
            scored; none by default, as published.
        device: by which the time is foretold.
        dry_run: one model of each role and architecture, with random weights and narrow VGGs, in the cache.

    Raises:
        ValueError: if a data set lacks its normalisation, or a number is beyond what there is.
    """
    if set(normalisation) != DATA:
        raise ValueError(
            f"normalisation must be of {', '.join(sorted(DATA))}, not of {', '.join(normalisation) or 'none'}"
        )
    if not 1 <= pruned <= (most := 15 if complete else 10):
        raise ValueError(f"pruned must lie between 1 and {most}, the number of models there are, not {pruned}")
    if independent is not None and not 1 <= independent <= 4:
        raise ValueError(f"independent must lie between 1 and 4, so that one of five is scored, not {independent}")
    place = Path(cache) / "sac_hub"
    chosen = [_aside(one, independent) for one in members() if complete or uploaded(one)]
    chosen = [one for one in chosen if not one.pruned or int(one.name.split("-")[1]) < pruned]
    places = Places(Path(root), Path(folder) if folder else None, place / "manifest.json")
    if dry_run:
        chosen = list({(one.role, one.architecture): one for one in reversed(chosen)}.values())[::-1]
        places = Places(place / "release", place / "hub", places.manifest)
    narrow = NARROW if dry_run else 1
    settings = {"download": download, "device": device, "narrow": narrow, "fabricated": dry_run}
    prepare = partial(_prepare, chosen, places, **settings)
    return {
        one.name: ZooModel(
            one.name,
            one.role,
            one.architecture,
            load=partial(_load, one, places, normalisation[one.data], narrow),
            prepare=prepare,
            ready=partial(_ready, one, places),
            fingerprint=partial(known, one, places),
            job="sac_hub",  # one for all, so that what it will take is said once, and first
        )
        for one in chosen
    }


def _aside(member: Member, independent: int | None) -> Member:
    """The member, or as one that selects if it is among the first of its architecture."""
    first = member.role == "unrelated_original" and int(member.name.split("-")[1]) % 5 < (independent or 0)
    return member._replace(role="independent") if first else member


def _ready(member: Member, places: Places) -> bool:
    return bool(known(member, places))


def _prepare(
    chosen: Sequence[Member], places: Places, *, download: bool, device: str, narrow: int, fabricated: bool
) -> None:
    """Say what the zoo will take, fetch what is missing, and note what every file is."""
    torch.set_num_threads(1)
    if fabricated:
        from experiments.testbeds.ip_protection.sac_hub.fabricated import fabricate

        for one in chosen:
            fabricate(one, places, narrow=narrow)
    missing = [one for one in chosen if located(one, places) is None]
    print(announced(chosen, missing, device=device, narrow=narrow), file=sys.stderr, flush=True)
    if missing and not (download and all(one.repository for one in missing)):
        raise FileNotFoundError(lacking(missing, chosen, places))
    for one in missing:
        fetch(one, places)
    for one in chosen:
        file = located(one, places)
        assert file is not None
        verified(one, file, places)


def _load(member: Member, places: Places, colours: Colours, narrow: int) -> nn.Module:
    model = empty(member.architecture, classes=CLASSES, **colours, narrow=narrow)
    file = located(member, places)
    found = weights(member, places)
    assert file is not None
    fill(model[1], found, file=file, what=f"a {member.architecture} of {CLASSES} classes")
    # On CPUs convolutions are faster with the channels last.
    return model.requires_grad_(False).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
