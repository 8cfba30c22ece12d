"""Which suspects are copies, by the zoo's facts, and who is accused when all of them are judged at once."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
from hydra.utils import instantiate
from torch import nn

from experiments.interfaces import ZooModel
from experiments.testbeds.ip_protection.copies import described


def zoo(*models):
    """Models by name, each given as name, role, architecture and facts."""
    return {
        name: ZooModel(name, role, architecture, nn.Identity, facts=partial(dict, **fact))
        for name, role, architecture, fact in models
    }


def test_a_copy_keeps_nine_tenths_of_the_clean_runs_accuracy_or_exceeds_matched_strangers_of_its_architecture():
    given = zoo(
        ("victim", "victim", "plain", {"accuracy": 1.0}),
        ("tuned", "finetune_a", "plain", {"accuracy": 0.91}),
        ("ruined", "finetune_a", "plain", {"accuracy": 0.89}),
        ("moved", "transfer_a", "plain", {"accuracy": 0.46}),
        ("lost", "transfer_a", "plain", {"accuracy": 0.44}),
        ("faithful", "extract_l", "plain", {"fidelity": 0.5}),
        ("unlike", "extract_l", "other", {"fidelity": 0.8}),
        ("matched-0", "matched_original", "plain", {"fidelity": 0.1}),
        ("matched-1", "matched_original", "other", {"fidelity": 0.9}),
        ("matched-2", "matched_original", "other", {"fidelity": 0.9}),
        ("clean-0", "unrelated_turned", "plain", {"accuracy": 0.5}),
        ("clean-1", "unrelated_turned", "other", {"accuracy": 0.9}),
        ("unrelated-0", "unrelated_original", "plain", {"accuracy": 0.2, "fidelity": 0.9}),
    )
    attacks = {"finetune_a": "original", "transfer_a": "turned", "extract_l": "original"}
    copy = described(given, attacks, frozenset({"extract_l"}))["copy"]
    assert copy.dropna().to_dict() == {
        "tuned": 1,
        "ruined": 0,
        "moved": 1,
        "lost": 0,
        "faithful": 1,
        "unlike": 0,
    }


def test_who_judges_all_suspects_at_once_corrects_for_all_of_them_and_counts_copies_and_strangers_apart(config):
    testbed = instantiate(config("testbed/zoo=toy", "testbed/samples=toy", "testbed.budget=8")["testbed"])
    attacked = pd.DataFrame({"p": [0.004, 0.015, 0.001, 0.9], "copy": [1, np.nan, 1, 0]}, list("abcd"))
    strangers = pd.DataFrame({"p": [0.03, 0.5]}, list("xy"))
    metrics = {}
    testbed._judge_many(metrics, attacked, strangers)
    found = {key.removesuffix("/pooled"): value for key, value in metrics.items() if key.endswith("/pooled")}
    third, two_thirds = pytest.approx(1 / 3), pytest.approx(2 / 3)
    # Of six, Holm: 0.006, 0.02, 0.06, 0.09, 1, 1; Benjamini and Hochberg: 0.006, 0.012, 0.03, 0.045, 0.6, 0.9.
    assert found == {
        "found_holm_at_1": third,
        "found_holm_at_5": two_thirds,
        "found_holm_at_10": 1,
        "alarms_holm_at_1": 0,
        "alarms_holm_at_5": 0,
        "alarms_holm_at_10": 0.5,
        "found_fdr_at_1": third,
        "found_fdr_at_5": 1,
        "found_fdr_at_10": 1,
        "alarms_fdr_at_1": 0,
        "alarms_fdr_at_5": 0.5,
        "alarms_fdr_at_10": 0.5,
    }
