"""Progress on stderr: what it says of a run, and that it is as asked for."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import typer

from foundry.interface import progress
from foundry.interface.cli import app, main
from tests import schema

RECIPE = SimpleNamespace(steps=lambda tokens: 8, step_tokens=10, name="a", fingerprint="b" * 32)
SPEC = cast("Any", SimpleNamespace(id="abc", budget_tokens=80, recipe=RECIPE, seed=2**60))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands at what is in it."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def told(mode: Any, clock: list[float], capsys: pytest.CaptureFixture[str]) -> str:
    """A run taken up at its second step, two steps in 20 seconds, whose loss is no number at the end."""
    with progress.Display(mode) as display:
        display.say("\x1b[31m [/red]")
        display.started(SPEC, "train")
        for step, loss, seconds in ((2, 1.5, 11.0), (4, float("nan"), 20.0)):
            clock[0] += seconds
            display.progressed(SPEC, "train", {"step": step, "loss": loss})
    out, err = capsys.readouterr()
    assert out == "" and "\x1b" not in err
    return err


def test_progress_in_json_is_an_object_a_line_with_loss_pace_and_time_left(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    said, started, first, second = map(json.loads, told("json", clock, capsys).splitlines())
    assert schema.text(said.pop("say")) == "\x1b[31m [/red]" and not said
    assert started == {"run": "abc", "stage": "train", "recipe": "b" * 32, "name": "a", "seed": str(2**60)}
    step = {"run": "abc", "stage": "train", "steps": 8}
    assert first == {**step, "step": 2, "loss": 1.5, "tokens_per_second": None, "eta_seconds": None}
    assert second == {**step, "step": 4, "loss": None, "tokens_per_second": 1.0, "eta_seconds": 40.0}


def test_people_are_told_the_pace_too_and_none_is_told_nothing(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    assert "step 4/8  1 tokens a second, 40 s to go" in told("plain", clock, capsys)
    assert told("none", clock, capsys) == ""


def test_what_happened_to_a_run_on_its_way_is_told(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with progress.Display("plain") as display:
        display.progressed(SPEC, "train", {"note": "trained again from the start: torn"})
    assert "trained again from the start: torn" in capsys.readouterr().err


def test_with_json_progress_is_json_unless_asked_otherwise(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    asked = ["train", "experiments/baseline.yaml", "--judged-bytes", "2048", "--device", "cpu", "--json"]
    for more, is_json in (([], True), (["--progress", "plain"], False)):
        assert main([*asked, *more]) == 0
        out, err = capfd.readouterr()
        document, lines = json.loads(out), err.splitlines()
        assert lines and all(line.startswith("{") == is_json for line in lines)
        if is_json:
            last = json.loads(lines[-1])
            assert (last["run"], last["status"], last["val_bpb"]) == (document["run"], "done", document["val_bpb"])
    assert main([*asked, "--progress", "none"]) == 0
    assert capfd.readouterr().err == ""


def test_every_command_that_trains_or_prepares_has_the_option() -> None:
    group: Any = typer.main.get_command(app)
    long = [group.commands[name] for name in ("train", "sweep", "compare", "campaign", "reproduce")]
    for command in (*long, group.commands["data"].commands["prepare"]):
        assert any("--progress" in parameter.opts for parameter in command.params), command.name
