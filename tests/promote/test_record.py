"""What was trained and decided before is trained and decided now: bit for bit on the machine of the record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.promote.record import RECORD, machine, measured

ELSEWHERE = 1e-3
"""Bits per byte that another version of torch or another processor may make."""


def unlike(then: Any, now: Any, allowed: float, path: str = "") -> list[str]:
    """Where two records differ by more than is allowed; words and counts must be equal."""
    if isinstance(then, dict):
        assert then.keys() == now.keys()
        return [each for key in then for each in unlike(then[key], now[key], allowed, f"{path}/{key}")]
    if isinstance(then, list):
        return [each for pair in zip(then, now, strict=True) for each in unlike(*pair, allowed, path)]
    same = abs(then - now) <= allowed if isinstance(then, float) else then == now
    return [] if same else [f"{path}: {then} is {now}"]


def test_recorded_runs_score_and_a_recorded_verdict_is_given_as_before(home: Path) -> None:
    then = json.loads(RECORD.read_text())
    allowed = 0.0 if then.pop("machine") == machine() else ELSEWHERE
    assert unlike(then, measured(), allowed) == []


@pytest.mark.parametrize(("allowed", "moved"), [(0.0, 1e-12), (ELSEWHERE, 2e-3)])
def test_a_number_that_moved_is_found(allowed: float, moved: float) -> None:
    then = json.loads(RECORD.read_text())
    now = json.loads(RECORD.read_text())
    now["runs"]["optimizer:muon"][0] += moved
    now["verdict"]["verdict"] = "not_better"
    assert [each.partition(":")[0] for each in unlike(then, now, allowed)] == ["/runs/optimizer", "/verdict/verdict"]
    assert unlike(then, then, allowed) == []
