"""Procedural rooms with exact targets for 17 tasks: made once by ray casting, then read from the cache.

Every part is a range of scenes of its own, so that no scene is in two parts.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from joblib import Parallel, delayed
from torch import Tensor

from experiments.commands.interrupts import mortal
from experiments.commands.progress import bar
from experiments.interfaces import Samples
from experiments.storage.files import make_once
from experiments.storage.identity import digest
from experiments.storage.weights import load_weights, save_weights
from experiments.testbeds.task_relatedness.tasks import TASKS

GENERATOR_VERSION = 1
"""Part of every file's name; raise it when scenes or targets change."""
SIZES: Mapping[str, Mapping[str, int]] = {
    "mini": {"references": 256, "evaluate": 400, "fit": 400, "train": 3000},
    "mid": {"references": 512, "evaluate": 1000, "fit": 1000, "train": 8000},
}
"""Scale -> scenes of each part: reference points, those to judge encoders and probes on, those to fit probes on,
those to train encoders on."""
PIXELS = 64
CHUNK = 25
"""Scenes a process makes at a time."""


class Rooms(NamedTuple):
    """Images (n, 3, 64, 64) in [0, 1] and, by task, targets (n, channels, 32, 32) or (n, numbers) in half precision."""

    images: Tensor
    targets: dict[str, Tensor]


def references(*, cache: str, scale: str = "mini", seed: int = 0, zoo_scale: Any = None) -> Samples:
    """The pool of reference points: images of scenes that nothing was trained, fitted or judged on.

    Args:
        cache: folder of files made once.
        scale: `mini` or `mid`, which says where these scenes end and those of encoders begin.
        seed: draws the scenes.
        zoo_scale: that of the encoders, where they learn from rooms, too; any other value says that they do not.

    Raises:
        ValueError: if the encoders have another scale, or as `load`.
    """
    if zoo_scale in SIZES and scale != zoo_scale:
        raise ValueError(
            f"testbed.samples.scale is {scale}, and the encoders learn from rooms of scale {zoo_scale}, whose parts "
            "lie elsewhere; set testbed.zoo.scale alone, which the samples follow"
        )
    return Samples(load("references", cache=cache, scale=scale, seed=seed).images)


def load(part: str, *, cache: str, scale: str = "mini", seed: int = 0, workers: int = 2) -> Rooms:
    """One part of the scenes, made if the cache lacks it; a second process that asks meanwhile waits for the first.

    Args:
        part: `references`, `evaluate`, `fit` or `train`.
        cache: folder of files made once.
        scale: `mini` or `mid`.
        seed: draws the scenes.
        workers: processes that make them.

    Raises:
        ValueError: if part or scale are not known, or the file is damaged.
    """
    wanted = identity(part, scale=scale, seed=seed)
    file = Path(cache) / "rooms" / f"{part}-{digest(wanted)}.safetensors"
    make_once(file, lambda: save_weights(file, _make(range(*wanted["scenes"]), seed, workers), wanted))
    stored = load_weights(file)
    return Rooms(stored["images"].float() / 255, {task: stored[task] for task in TASKS})


def identity(part: str, *, scale: str, seed: int) -> dict[str, Any]:
    """What names the scenes of a part: nothing else decides what they are."""
    for name, value, known in [("scale", scale, SIZES), ("part", part, SIZES["mini"])]:
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}, not {value!r}")
    sizes = SIZES[scale]
    first = sum(sizes[other] for other in list(sizes)[: list(sizes).index(part)])
    return {"version": GENERATOR_VERSION, "pixels": PIXELS, "seed": seed, "scenes": [first, first + sizes[part]]}


def noisy(images: Tensor, seed: int, *, deviation: float = 0.2) -> Tensor:
    """Images under Gaussian noise, cut off to [0, 1]: what denoising sees."""
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(seed))
    return (images + deviation * noise).clamp(0, 1)


def _make(scenes: range, seed: int, workers: int) -> dict[str, Tensor]:
    chunks = [scenes[start : start + CHUNK] for start in range(0, len(scenes), CHUNK)]
    made = []
    with bar(f"drawing rooms {scenes[0]} to {scenes[-1]}") as tell:
        tell(0, len(scenes))
        jobs = (delayed(_render)(chunk, seed) for chunk in chunks)
        # Processes even in a worker's process, where joblib would fall back to threads.
        for part in Parallel(n_jobs=workers, backend="loky", return_as="generator", **mortal())(jobs):
            made.append(part)
            tell(sum(len(done["images"]) for done in made), len(scenes))
    return {name: torch.from_numpy(np.concatenate([part[name] for part in made])) for name in made[0]}


def _render(scenes: range, seed: int) -> dict[str, np.ndarray]:
    # Only here: scikit-image takes a second to import.
    from experiments.testbeds.task_relatedness.rooms import rays, scene, targets

    views = [rays.show(scene.draw(seed, index), PIXELS) for index in scenes]
    rows = [targets.targets(view) for view in views]
    made = {task: np.stack([row[task] for row in rows]).astype(np.float16) for task in TASKS}
    return made | {"images": np.stack([np.round(view.image * 255).astype(np.uint8) for view in views])}
