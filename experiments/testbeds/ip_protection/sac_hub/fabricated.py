"""Files like the published ones, with random weights: for rehearsals and tests."""

import io
from collections.abc import Mapping
from pathlib import Path
from zlib import crc32

import safetensors.torch
import torch
from torch import Tensor

from experiments.networks.torchvision import empty
from experiments.storage.files import write
from experiments.testbeds.ip_protection.sac_hub.files import UPLOADED, Places
from experiments.testbeds.ip_protection.sac_hub.members import Member

COMMIT = "0" * 40


def fabricate(member: Member, places: Places, *, narrow: int) -> Path:
    """Write the model's file where the upload would lie in the cache of Hugging Face, or else in the release."""
    found = random_weights(member, narrow=narrow)
    if member.repository is None:
        file = places.root / member.place
        content = io.BytesIO()
        torch.save(found, content)
        write(file, content.getvalue())
        return file
    assert places.folder is not None
    cached = places.folder / f"models--{member.repository.replace('/', '--')}"
    file = cached / "snapshots" / COMMIT / UPLOADED[0]
    write(file, safetensors.torch.save(found))
    write(cached / "refs" / "main", COMMIT.encode())
    return file


def random_weights(member: Member, *, narrow: int) -> dict[str, Tensor]:
    """Weights of the model's keys and shapes, drawn by its name; a pruned model's with masks that remove a half."""
    generator = torch.Generator().manual_seed(crc32(member.name.encode()))
    network = empty(member.architecture, classes=10, mean=[0.5] * 3, std=[0.25] * 3, narrow=narrow)[1]
    found = {key: _drawn(key, tensor, generator) for key, tensor in network.state_dict().items()}
    return with_masks(found) if member.pruned else found


def with_masks(found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same weights as `torch.nn.utils.prune` keeps them, every second channel of each convolution removed."""
    kept: dict[str, Tensor] = {}
    for key, tensor in found.items():
        if tensor.ndim == 4:
            mask = torch.ones_like(tensor)
            mask[::2] = 0
            kept |= {f"{key}_orig": tensor, f"{key}_mask": mask}
        else:
            kept[key] = tensor
    return kept


def _drawn(key: str, tensor: Tensor, generator: torch.Generator) -> Tensor:
    if not tensor.is_floating_point():
        return torch.zeros(tensor.shape, dtype=tensor.dtype)
    if tensor.ndim > 1:
        return torch.randn(tensor.shape, generator=generator) * (2 / tensor[0].numel()) ** 0.5
    return torch.ones(tensor.shape) if key.endswith(("weight", "running_var")) else torch.zeros(tensor.shape)
