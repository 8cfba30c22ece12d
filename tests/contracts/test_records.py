"""Scores of recorded runs are those of the distances that lie beside them."""

import json
from functools import cache

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from experiments.testbeds.ip_protection.calibration import conformal_p_values

EXACTLY = 1e-9


@cache
def records():
    """(folder, report) of every record."""
    reports = sorted((ROOT / "results" / "recorded").glob("*/report.json"))
    return [(file.parent, json.loads(file.read_text())) for file in reports]


def of(testbed):
    found = [(folder, saved) for folder, saved in records() if testbed in saved["config"]["testbed"]["_target_"]]
    assert len(found) > 100
    return found


def apart(near, far):
    return np.mean(np.sign(np.subtract.outer(np.array(far), np.array(near))) + 1) / 2


@pytest.mark.parametrize("reading", ["retrains", "reference", "relative"])
def test_unlearning_is_scored_by_the_distances_of_the_suspects_beside_it(reading):
    for folder, saved in of("unlearning"):
        suspects, testbed = pd.read_csv(folder / "suspects.csv", index_col=0), saved["config"]["testbed"]
        forgotten, kept = suspects["role"].isin(testbed["forgotten"]), suspects["role"].isin(testbed["kept"])
        groups = {"kept": kept, "all": ~forgotten & ~suspects["role"].isin(testbed["aside"])}
        distance = {
            "retrains": suspects["retrains"],
            "reference": -suspects["reference"],
            "relative": (suspects["retrains"] - suspects["reference"]).map(lambda number: float(f"{number:.6g}")),
        }[reading]
        distance = distance.fillna(distance.max() + 1)
        for name, others in groups.items():
            if f"auc/{reading}/{name}" in saved["metrics"]:
                value = apart(distance[forgotten], distance[others])
                assert saved["metrics"][f"auc/{reading}/{name}"] == pytest.approx(value, abs=EXACTLY), folder.name


def test_lineage_is_scored_by_the_distances_of_the_suspects_beside_it():
    for folder, saved in of("ip_protection"):
        suspects, attacks = pd.read_csv(folder / "suspects.csv", index_col=0), saved["config"]["testbed"]["attacks"]
        attacked = suspects["role"].isin(set(attacks))
        for attack, task in attacks.items():
            near = suspects[(suspects["role"] == attack) & (suspects["copy"] != 0)]["distance"]
            far = suspects[~attacked & (suspects["task"] == task)]["distance"]
            if len(near) and len(far):
                value = apart(near, far)
                assert saved["metrics"][f"auc/{attack}"] == pytest.approx(value, abs=EXACTLY), (folder.name, attack)


def test_p_values_on_lineage_are_those_of_the_held_out_models_beside_them():
    calibrated = [(folder, saved) for folder, saved in of("ip_protection") if "found_at_5/pooled" in saved["metrics"]]
    for folder, _ in calibrated[::25]:
        suspects = pd.read_csv(folder / "suspects.csv", index_col=0)
        models = pd.read_csv(
            folder / "distances.csv", index_col="target", usecols=["target", "target_role", "architecture", "distance"]
        )
        held_out = models[models["target_role"].str.startswith("held_out_")]
        held_out = held_out.assign(task=held_out["target_role"].str.removeprefix("held_out_"))
        found = conformal_p_values(suspects, held_out, within=("task", "architecture"))
        assert (found - suspects["p"]).abs().max() < 1e-6, folder
