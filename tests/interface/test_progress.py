"""Progress with --json."""

import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from foundry.interface import progress


def test_progress_with_json_is_lines_of_json_on_stderr(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_SECONDS", -1.0)
    spec = cast("Any", SimpleNamespace(id="abc", budget_tokens=80, recipe=SimpleNamespace(steps=lambda tokens: 8)))
    with progress.Display(as_json=True) as display:
        display.say("\x1b[31m [/red]")
        display.progressed(spec, "train", {"step": 2, "loss": float("nan"), "tokens": 20, "seconds": 4.0})
    out, err = capsys.readouterr()
    said, step = (json.loads(line) for line in err.splitlines())
    assert out == "" and "\x1b" not in err and said == {"say": "\x1b[31m [/red]"}
    assert step == {
        "run": "abc", "stage": "train", "step": 2, "steps": 8,
        "loss": None, "tokens_per_second": 5.0, "eta_seconds": 12.0,
    }  # fmt: skip
