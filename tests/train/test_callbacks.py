"""What is written beside the steps, and when a loss that isn't a number ends the run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from foundry.core.errors import RunFailure
from foundry.train import callbacks as callbacks_file
from foundry.train.callbacks import Callbacks, Record
from foundry.train.loop import StepInfo
from foundry.train.progress import LocalLine


def info(step: int, loss: float) -> StepInfo:
    return StepInfo(step, torch.tensor(loss), 0.1, torch.tensor(2.0))


def callbacks(
    out: Path, steps: int = 10, told: Any = None, saved: Any = None, checkpoint_seconds: float = 3600.0
) -> Callbacks:
    record = Record(out, saved.append if saved is not None else lambda facts: None, steps=steps, step_tokens=64)
    return Callbacks(LocalLine(told), checkpoint_seconds, [record])


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), float("-inf")])
def test_a_loss_that_is_no_number_ends_the_run_naming_its_step(tmp_path: Path, loss: float) -> None:
    each = callbacks(tmp_path)
    with pytest.raises(RunFailure, match=f"nan: loss became {loss} at step 3"):
        for step in range(1, 11):
            each.note(info(step, loss if step == 3 else 1.0))
        each.look()
    assert [row["step"] for row in rows(tmp_path)] == [1, 2]


def test_a_state_with_a_bad_loss_is_never_saved(tmp_path: Path) -> None:
    saved: list[Any] = []
    each = callbacks(tmp_path, saved=saved, checkpoint_seconds=1e-9)
    each.note(info(1, 1.0))
    assert [record["step"] for record in saved] == [1]
    with pytest.raises(RunFailure):
        each.note(info(2, float("nan")))
    assert len(saved) == 1


def test_the_training_loss_is_the_mean_of_the_last_twentieth(tmp_path: Path) -> None:
    each = callbacks(tmp_path, steps=100)
    for step in range(1, 101):
        each.note(info(step, float(step)))
    each.look()
    assert each.records[0].train_loss() == sum(range(96, 101)) / 5
    assert callbacks(tmp_path).records[0].train_loss() is None


def test_a_long_run_leaves_about_a_thousand_lines_and_its_last_step(tmp_path: Path) -> None:
    each = callbacks(tmp_path, steps=3500)
    for step in range(1, 3501):
        each.note(info(step, 1.0))
    each.look()
    steps = [row["step"] for row in rows(tmp_path)]
    assert 1000 <= len(steps) <= 2000 and steps[-1] == 3500
    assert rows(tmp_path)[-1]["tokens"] == 3500 * 64


def test_heartbeats_come_a_few_times_a_second_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    now = [0.0]
    monkeypatch.setattr(callbacks_file.time, "perf_counter", lambda: now[0])
    each = callbacks(tmp_path, steps=1000, told=told.append)
    for step in range(1, 1001):
        now[0] += 0.01
        each.note(info(step, 1.0))
    assert 30 <= len(told) <= 50  # in ten seconds
    assert told[-1]["step"] <= 1000 and told[-1]["tokens"] == told[-1]["step"] * 64


def test_checkpoints_follow_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[Any] = []
    now = [0.0]
    monkeypatch.setattr(callbacks_file.time, "perf_counter", lambda: now[0])
    each = callbacks(tmp_path, steps=100, saved=saved, checkpoint_seconds=3.0)
    for step in range(1, 11):
        now[0] += 1.0
        each.note(info(step, 1.0))
    assert [record["step"] for record in saved] == [3, 6, 9]
    assert [record["seconds"] for record in saved] == [3.0, 6.0, 9.0]
