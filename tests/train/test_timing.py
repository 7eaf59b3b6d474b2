"""A rehearsal marks its steps for a clock outside, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from foundry.core.errors import RunFailure
from foundry.train import timing, worker
from foundry.train.progress import LocalLine


class Steps:
    """A worker of `steps` steps that asks after each whether to stop, and does nothing else."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[int] = []
        monkeypatch.setattr(worker, "main", self)

    def __call__(self, run: dict[str, Any], line: Any) -> dict[str, Any]:
        line.tell(step=0, loss=1.0)
        step, stopping = 0, False
        while step < run["steps"] and not stopping:
            step, stopping = step + 1, line.stopping
        self.made.append(step)
        return {}


def marks(monkeypatch: pytest.MonkeyPatch, steps: int, seconds: float, out: Path) -> tuple[list[Any], list[int]]:
    told: list[Any] = []
    made = Steps(monkeypatch).made
    timing.main({"run": {"steps": steps, "out": str(out)}, "window_seconds": seconds}, LocalLine(told.append))
    return told, made


def test_the_warm_up_is_not_between_the_marks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told, made = marks(monkeypatch, 100_000, 1e-9, tmp_path)
    assert told == [{"window": "begin"}, {"window": "end", "steps": 1}]
    assert made == [timing.WARMUP_STEPS + 1], "and the run is stopped once enough was timed"


def test_a_run_too_short_for_the_window_is_rehearsed_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told, made = marks(monkeypatch, 12, 1e-3, tmp_path)
    assert made[0] == 12 and len(made) > 1
    assert told[:2] == [{"window": "begin"}, {"window": "end", "steps": 9}] and len(told) == 2 * len(made)


def test_a_run_of_a_step_is_timed_from_its_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told, _ = marks(monkeypatch, 1, 1e-9, tmp_path)
    assert told == [{"window": "begin"}, {"window": "end", "steps": 1}]


def test_a_failure_of_the_run_is_the_rehearsals(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(run: Any, line: Any) -> Any:
        raise RunFailure("nan", "at step 3")

    monkeypatch.setattr(worker, "main", fail)
    with pytest.raises(RunFailure, match="nan"):
        timing.main({"run": {"steps": 5, "out": str(tmp_path)}, "window_seconds": 1.0}, LocalLine())
