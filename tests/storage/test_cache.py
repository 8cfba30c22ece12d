"""Trained models go only when somebody says so, and knows what they cost."""

from io import StringIO

import torch
from safetensors.torch import save_file

from experiments.storage import cache
from experiments.storage.weights import save_weights


def filled(place):
    weights = {"w": torch.ones(2)}
    save_weights(place / "mini" / "victim-0a.safetensors", weights, {"seconds": 40.0, "recipe": {}})
    save_weights(place / "mini" / "victim-0a.epoch3.safetensors", weights, {"seconds": 20.0, "recipe": {}})
    save_weights(place / "mini" / "copy-0b.safetensors", weights, {"seconds": 2.5, "recipe": {}})
    save_weights(place / "rooms" / "train-0c.safetensors", weights, {"scenes": [0, 10]})
    (place / "mini" / "broken.safetensors").write_bytes(b"no header")
    (place / "downloaded.pth").write_bytes(b"from elsewhere")
    save_file(weights, place / "mine.safetensors")
    return place


def test_models_are_counted_with_the_seconds_of_their_trainings(tmp_path):
    assert cache.content(filled(tmp_path)) == {"models": 2, "others": 2, "seconds": 42.5}


def test_nothing_is_deleted_unless_somebody_says_yes_and_downloads_stay_even_then(tmp_path, monkeypatch, capsys):
    filled(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.delenv("YES", raising=False)
    for answer, status in [("\n", 0), ("n\n", 0), ("", 1)]:
        monkeypatch.setattr("sys.stdin", StringIO(answer))
        assert cache.main([str(tmp_path)]) == status
        assert sorted(tmp_path.rglob("*")) == before
    assert "2 trained models (42 s of training) and 2 other files" in capsys.readouterr().out
    monkeypatch.setenv("YES", "1")
    assert cache.main([str(tmp_path)]) == 0
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "downloaded.pth", tmp_path / "mine.safetensors"]
