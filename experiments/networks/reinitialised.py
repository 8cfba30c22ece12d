"""The same network before any training."""

import torch
from torch import nn

from modelgif_core.copied import copied


def reinitialised(model: nn.Module, seed: int) -> nn.Module:
    """A copy whose every parameter is drawn anew and whose BatchNorm statistics are those of a new model.

    Modules reset themselves, those inside others first, by torch's `reset_parameters` or timm's `init_weights`; bare
    parameters that nobody resets (position embeddings) become normal with deviation 0.02, as usual for transformers.
    """
    fresh = copied(model).requires_grad_(True)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for parameter in fresh.parameters():
            parameter.fill_(torch.nan)
        for module in reversed(list(fresh.modules())):
            for name in ("reset_parameters", "_reset_parameters", "init_weights"):
                if hasattr(module, name):
                    getattr(module, name)()
        for parameter in fresh.parameters():
            if parameter.isnan().any():
                nn.init.trunc_normal_(parameter, std=0.02)
    return fresh.eval()
