"""A run from its payload: what it returns and writes, and how it fails."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from foundry.core.errors import RequestError, RunFailure
from foundry.train import checkpoint, direct, program, worker
from foundry.train.progress import LocalLine

PART = '''"""A part of an agent's making. May not: work."""
import torch
from foundry.modules.activation import ActivationConfig
from foundry.modules.layers import Linear

class Part(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.linear = Linear(width, width)
    def forward(self, x):
        {body}
        return self.linear(x)

class Config(ActivationConfig):
    def build(self, width):
        return Part(width)
'''


def with_part(payload: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> dict[str, Any]:
    """The payload with an activation whose forward does `body` first."""
    folder = tmp_path / "workspace" / "modules" / "activation"
    folder.mkdir(parents=True)
    (folder / "strange.py").write_text(PART.format(body=body))
    monkeypatch.setenv("FOUNDRY_WORKSPACE", str(tmp_path / "workspace"))
    return {**payload, "model": {**payload["model"], "activation": "strange"}}


def test_a_run_learns_and_says_what_it_did(payload: dict[str, Any]) -> None:
    told: list[dict[str, Any]] = []
    result = worker.main({**payload, "steps": 150}, LocalLine(told.append))
    out = Path(payload["out"])
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert result["status"] == "done" and result["steps"] == 150 and result["tokens"] == 150 * 4 * 16
    assert rows[0]["loss"] > 3 > 2.5 > result["train_loss"] > 0
    assert result["train_loss"] == pytest.approx(sum(row["loss"] for row in rows[-8:]) / 8)
    assert all(row["grad_norm"] > 0 for row in rows) and rows[-1]["seconds"] <= result["seconds"]
    assert told[-1]["step"] == told[-1]["steps"] == 150
    assert json.loads((out / "status.json").read_text())["status"] == "done"
    assert checkpoint.load_weights(out / "checkpoint")


def test_equal_payloads_give_equal_weights_and_another_seed_does_not(payload: dict[str, Any], tmp_path: Path) -> None:
    hashes = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        worker.main({**payload, "seed": seed, "out": str(tmp_path / name)}, LocalLine())
        hashes.append(json.loads((tmp_path / name / "checkpoint" / "manifest.json").read_text())["files"])
    assert hashes[0]["model.safetensors"] == hashes[1]["model.safetensors"] != hashes[2]["model.safetensors"]


@pytest.mark.usefixtures("admitted")
@pytest.mark.parametrize(
    ("body", "reason", "detail"),
    [
        ("raise IndexError('no such head')", "crash", "IndexError: no such head"),
        ("torch.empty(2**55)", "oom", "RuntimeError"),
        ("raise MemoryError", "oom", "MemoryError"),
        ("x = x / (x - x)", "nan", "at step 1"),
    ],
)
def test_a_failure_has_its_reason(
    payload: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, reason: str, detail: str
) -> None:
    with pytest.raises(RunFailure, match=detail) as caught:
        worker.main(with_part(payload, tmp_path, monkeypatch, body), LocalLine())
    assert caught.value.reason == reason
    status = json.loads((Path(payload["out"]) / "status.json").read_text())
    assert (status["status"], status["reason"]) == ("failed", reason)
    assert not (Path(payload["out"]) / "checkpoint").exists()


def test_weights_that_the_last_step_spoiled_are_no_result(
    payload: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoiling(state: Any, *args: Any, **options: Any) -> Any:
        for fact in train(state, *args, **options):
            if fact.step == options["steps"]:
                state.weights["embedding.weight"][0, 0] = float("inf")
            yield fact

    train = program.train
    monkeypatch.setattr(program, "train", spoiling)
    with pytest.raises(RunFailure, match="nan: weights are not finite after step 30"):
        worker.main(payload, LocalLine())


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"steps": 0}, "recipe.bad_value"),
        ({"device": "tpu"}, "train.unknown_device"),
        ({"step": 3}, "recipe.unknown_key"),
    ],
)
def test_a_payload_that_can_not_be_run_is_refused(payload: dict[str, Any], change: dict[str, Any], code: str) -> None:
    with pytest.raises(RequestError) as caught:
        worker.main({**payload, **change}, LocalLine())
    assert caught.value.code == code


def test_a_payload_file_is_trained_from_the_command_line(
    payload: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "payload.json"
    file.write_text(json.dumps({**payload, "steps": 2}))
    assert direct.main([str(file)]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 2
    assert direct.main([str(tmp_path / "missing.json")]) == 2
    file.write_text(json.dumps({**payload, "seed": 9}))  # in the folder of another run
    assert direct.main([str(file)]) == 2
    assert capsys.readouterr().err.count("\n") == 2


def test_a_signal_saves_and_returns(payload: dict[str, Any]) -> None:
    line = LocalLine(lambda facts: os.kill(os.getpid(), signal.SIGTERM))
    line.heed_signals()
    result = worker.main({**payload, "steps": 100_000}, line)
    assert result["status"] == "interrupted" and result["steps"] > 0
    assert checkpoint.load_weights(Path(payload["out"]) / "checkpoint")


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
