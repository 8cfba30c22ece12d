"""Field embeddings as files that say what they may be compared with."""

from pathlib import Path

from experiments.storage.weights import load_facts, load_weights, save_weights
from modelgif_core import Embedding


def save_embedding(path: Path, embedding: Embedding) -> None:
    """Write an embedding as safetensors, its reference set's identity in the header."""
    tensors = {name: getattr(embedding, name) for name in ("vector", "dead", "points")}
    save_weights(path, tensors, {"metric": embedding.metric, "reference": embedding.reference})


def load_embedding(path: Path) -> Embedding:
    """An embedding whose checksum was verified.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged.
    """
    return Embedding(**load_weights(path), **load_facts(path))
