"""What a page says that its candidates gain."""

from pathlib import Path

import numpy as np

from experiments.pages.contest import contest
from experiments.pages.documents import headline
from experiments.pages.sweep import Experiment, Run
from experiments.statistics.contest import Sides


def experiment(*measured):
    """Runs of (label, seed), and one that has not run."""
    runs = [Run({"method": {"label": label}, "seed": seed}, Path(label), {"metrics": {}}) for label, seed in measured]
    missing = Run({"method": {"label": "never run"}, "seed": 0}, Path("none"), None)
    page = {"rows": "{method.label}", "candidates": ["ours", "other of ours"]}
    return Experiment("any", page, [*runs, missing])


def sides(run):
    random = np.random.default_rng(run.seed)
    shift = {"ours": 3.0, "other of ours": 2.0, "rival": 0.5}[run.config["method"]["label"]]
    return Sides(random.normal(size=20), random.normal(shift, size=20))


def test_every_candidate_is_held_against_every_other_method_on_the_zoos_that_both_have():
    found = experiment(*((label, seed) for label in ("ours", "rival") for seed in range(4)), ("other of ours", 2))
    text = contest("AUC", found, sides)
    assert "| ours minus rival " in text
    assert "| other of ours minus rival " in text
    assert "minus other of ours" not in text
    assert "never run" not in text
    (many,) = [line for line in text.splitlines() if line.startswith("| ours minus rival")]
    (few,) = [line for line in text.splitlines() if line.startswith("| other of ours minus")]
    assert many.split("|")[-2].strip() == "4"
    assert few.split("|")[-2].strip() == "1"
    assert "+0." in many


def test_nothing_measured_is_said_to_be_nothing():
    assert contest("AUC", experiment(), sides) == "**What is gained** (AUC): —"


def test_what_is_not_measured_yet_has_no_row_in_the_headline(tmp_path):
    lineage = headline.QUESTIONS[0]
    assert headline.judged(lineage, tmp_path) == {}
    assert headline.answers("stronger", tmp_path).empty
