"""The zoo's files: found in Hugging Face's cache or the authors' release, fetched, and known by their SHA-256."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from experiments.commands.refusal import Mendable
from experiments.storage.files import lock, read, write
from experiments.storage.foreign import opened
from experiments.testbeds.ip_protection.sac_hub.members import Member

UPLOADED = ("model.safetensors", "pytorch_model.bin")
"""What the file in a repository may be called, the better one first."""


class Places(NamedTuple):
    """Where the zoo's files lie."""

    root: Path
    """The authors' release."""
    folder: Path | None
    """The cache of Hugging Face; None for where huggingface_hub keeps it."""
    manifest: Path
    """SHA-256 of every file, as it was when first used."""


def located(member: Member, places: Places) -> Path | None:
    """The model's file: the upload if it is in the cache, else that of the release; None if neither is there.

    In the release's stead a safetensors file of the same name will do. What the release has of pruned models are
    networks with their code, which are not opened.
    """
    if member.repository:
        from huggingface_hub import try_to_load_from_cache  # only here: composing a zoo needs none

        for name in UPLOADED:
            found = try_to_load_from_cache(member.repository, name, cache_dir=places.folder)
            if isinstance(found, str):
                return Path(found)
    own = places.root / member.place
    others = [own.with_suffix(".safetensors"), *([] if member.pruned else [own])]
    return next((file for file in others if file.is_file()), None)


def weights(member: Member, places: Places) -> dict[str, Tensor]:
    """The model's weights, masks of pruning applied.

    Raises:
        FileNotFoundError: if there is no file; says where to put one or how to fetch it.
        ValueError: if the file is damaged, holds no weights, or is not the one that was used first.
    """
    file = located(member, places)
    if file is None:
        raise FileNotFoundError(lacking([member], [member], places))
    found = opened(file, verified(member, file, places))
    if not isinstance(found, Mapping) or not all(isinstance(part, Tensor) for part in found.values()):
        raise Mendable(f"{file} holds no weights: it is no mapping of names to tensors")
    return masked(found)


def masked(found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights as they work: `torch.nn.utils.prune` keeps each as `<name>_orig`, beside what it is multiplied with.

    >>> import torch
    >>> masked({"0.weight_orig": torch.tensor([2.0, 3.0]), "0.weight_mask": torch.tensor([1.0, 0.0])})
    {'0.weight': tensor([2., 0.])}
    """
    masks = {key.removesuffix("_mask"): mask for key, mask in found.items() if key.endswith("_mask")}
    working = {}
    for key, tensor in found.items():
        name = key.removesuffix("_orig")
        if name != key and name in masks:
            working[name] = tensor * masks[name]
        elif not (key.endswith("_mask") and f"{key.removesuffix('_mask')}_orig" in found):
            working[key] = tensor
    return working


def verified(member: Member, file: Path, places: Places) -> bytes:
    """What is in the file; its SHA-256 is noted at first use, and the same ever after.

    Raises:
        ValueError: if it is another file than at first.
    """
    content = read(file)
    found, key = hashlib.sha256(content).hexdigest(), _key(member, file, places)
    if key not in noted(places.manifest):
        with lock(places.manifest):
            write(places.manifest, json.dumps(noted(places.manifest) | {key: found}, indent=1, sort_keys=True).encode())
    first = noted(places.manifest)[key]
    if first != found:
        raise Mendable(
            f"{file} is not the file that was used first (SHA-256 {found[:12]}..., then {first[:12]}...): put that one "
            f"back, or delete {places.manifest} and take another cache for results"
        )
    return content


def noted(manifest: Path) -> dict[str, str]:
    """File -> SHA-256 at first use; empty before any.

    Raises:
        ValueError: if the manifest is damaged.
    """
    try:
        return json.loads(read(manifest))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise Mendable(f"{manifest} is damaged; delete it: it is written anew at the next use") from error


def known(member: Member, places: Places) -> str:
    """The SHA-256 that was noted of the model's file; empty if there is no file or it was never used."""
    file = located(member, places)
    return noted(places.manifest).get(_key(member, file, places), "") if file else ""


def fetch(member: Member, places: Places) -> None:
    """Bring the upload into the cache of Hugging Face.

    Raises:
        OSError: if it cannot be fetched.
    """
    from huggingface_hub import hf_hub_download

    assert member.repository is not None
    try:
        hf_hub_download(member.repository, UPLOADED[0], cache_dir=places.folder)
    except Exception as error:  # the library has dozens of its own, and those of whatever carries its requests
        raise OSError(
            f"cannot fetch {member.repository} ({' '.join(str(error).split()) or type(error).__name__}); "
            f"put {places.root / member.place} there by hand"
        ) from error


def lacking(missing: Sequence[Member], members: Sequence[Member], places: Places) -> str:
    """What is missing, in one line, and what to do about it."""
    online, offline = ([one for one in missing if bool(one.repository) == there] for there in (True, False))
    remedies = []
    if online:
        remedies.append(
            f"testbed.zoo.download=true fetches {len(online)}, such as {online[0].repository}, or put "
            f"{_wanted(online[0], places)} and the like there"
        )
    if offline:
        remedies.append(
            f"{len(offline)} are in the authors' release alone: put {_wanted(offline[0], places)} and the like there, "
            "or do without them by testbed.zoo.complete=false testbed/attacks=uploaded"
        )
    return f"{len(missing)} of {len(members)} files of SAC's zoo are missing: {'; '.join(remedies)}"


def _wanted(member: Member, places: Places) -> Path:
    own = places.root / member.place
    return own.with_suffix(".safetensors") if member.pruned else own


def _key(member: Member, file: Path, places: Places) -> str:
    if file.is_relative_to(places.root):
        return file.relative_to(places.root).as_posix()
    return f"{member.repository}/{file.name}"
