"""A rehearsal marks its steps for a clock outside, and leaves nothing behind."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from foundry.core.errors import RunFailure
from foundry.train import program, throughput
from foundry.train.progress import LocalLine

Payload = dict[str, Any]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The steps that each rehearsal made."""
    counts: list[int] = []
    train = program.train

    def counted(*args: Any, **options: Any) -> Iterator[Any]:
        counts.append(0)
        for info in train(*args, **options):
            counts[-1] += 1
            yield info

    monkeypatch.setattr(program, "train", counted)
    return counts


@pytest.fixture(autouse=True)
def a_clock_that_goes_on_by_a_millisecond_when_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count()
    monkeypatch.setattr(throughput, "time", SimpleNamespace(perf_counter=lambda: next(ticks) / 1000))


def marks(payload: Payload, steps: int, seconds: float) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    run = {**payload, "steps": steps, "model": {**payload["model"], "layers": 1}}
    count = throughput.rehearse({"run": run, "window_seconds": seconds}, LocalLine(told.append))["rehearsals"]
    assert count == len(told) / 2 and not Path(payload["out"]).exists()
    return told


def test_the_warm_up_is_not_between_the_marks(payload: Payload, made: list[int]) -> None:
    assert marks(payload, 100_000, 1e-9) == [{"window": "begin"}, {"window": "end", "steps": 1}]
    assert made == [throughput.REHEARSED_STEPS + 1], "and the run is stopped once enough was timed"


def test_a_run_too_short_for_the_window_is_rehearsed_again(payload: Payload, made: list[int]) -> None:
    told = marks(payload, 12, 0.05)
    assert made[0] == 12 and len(made) > 1
    assert told[:2] == [{"window": "begin"}, {"window": "end", "steps": 9}] and len(told) == 2 * len(made)


def test_a_run_of_a_step_is_timed_from_its_first(payload: Payload, made: list[int]) -> None:
    assert marks(payload, 1, 1e-9) == [{"window": "begin"}, {"window": "end", "steps": 1}]
    assert made == [1]


def test_a_failure_of_the_run_is_the_rehearsals(payload: Payload, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **options: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(program, "train", fail)
    with pytest.raises(RunFailure, match="oom"):
        marks(payload, 5, 1.0)
