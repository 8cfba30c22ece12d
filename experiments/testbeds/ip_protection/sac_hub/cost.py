"""What measuring the zoo will take, in one line, before it is begun."""

from collections.abc import Sequence
from time import perf_counter

import torch

from experiments.networks.torchvision import empty
from experiments.testbeds.ip_protection.sac_hub.members import Member

REFERENCES, STEPS = 512, 50


def announced(members: Sequence[Member], missing: Sequence[Member], *, device: str, narrow: int) -> str:
    """Models, gigabytes, and hours of a run as published, by the pace of this machine at networks of these kinds."""
    kinds = {member.architecture: _measured(member.architecture, device, narrow) for member in members}
    size, lack = (sum(kinds[one.architecture][0] for one in some) / 1e9 for some in (members, missing))
    hours = sum(kinds[one.architecture][1] for one in members) * REFERENCES * STEPS / 3600
    return (
        f"SAC's zoo: {len(members)} models of {size:.1f} GB, {len(missing)} of them ({lack:.1f} GB) not here yet; "
        f"fields of {STEPS} steps to {REFERENCES} reference points take about {hours:.1f} hours on {device}"
    )


def _measured(architecture: str, device: str, narrow: int) -> tuple[int, float]:
    """Bytes of a network's weights, and seconds of one gradient."""
    network = empty(architecture, classes=10, mean=[0.5] * 3, std=[0.25] * 3, narrow=narrow)[1].to_empty(device=device)
    tensors = [*network.parameters(), *network.buffers()]
    with torch.no_grad():
        for tensor in tensors:
            tensor.fill_(0.01 if tensor.is_floating_point() else 0)
    network.requires_grad_(False).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    count = 16 if device == "cpu" else 256  # an accelerator is slow with few
    images = torch.rand(count, 3, 32, 32, device=device, requires_grad=True)
    for part in (images[:1], images):  # the first one warms up
        began = perf_counter()
        (gradient,) = torch.autograd.grad(network(part).sum(), images)
        float(gradient.sum())  # waits for an accelerator
    return sum(tensor.nbytes for tensor in tensors), (perf_counter() - began) / count
