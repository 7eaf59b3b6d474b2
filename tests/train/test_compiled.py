"""Compiling: only where it pays, by what was measured; never a reason to fail, never a silent recompile.

The decisions are tried with a backend that captures the same graphs and generates no code.
"""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from foundry.train import checkpoint, torch_compile, worker
from foundry.train.progress import LocalLine
from foundry.train.torch_compile import PROBE_STEPS, WARMUP_STEPS, Compiler, Swappable
from foundry.train.worker import Job

Payload = dict[str, Any]
DECISION = WARMUP_STEPS + PROBE_STEPS


@pytest.fixture(autouse=True)
def no_code_generated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOUNDRY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(torch_compile, "BACKEND", "aot_eager")
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    torch._dynamo.reset()
    logging.getLogger("torch.__trace").setLevel(logging.WARNING)  # else a failure shows a hundred lines of it


@pytest.fixture
def payload(payload: Payload) -> Payload:
    """One layer: less to trace."""
    return {**payload, "model": {**payload["model"], "layers": 1, "dropout": 0.0}}


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiling is free, and steps become ten times faster: it pays for whoever has steps left."""
    monkeypatch.setattr(torch_compile, "SPEEDUP", {"cpu": 10.0})
    monkeypatch.setattr(torch_compile, "SECONDS_BASE", 0.0)
    monkeypatch.setattr(torch_compile, "SECONDS_PER_LAYER", 0.0)


def run(payload: Payload, steps: int, name: str = "run", **changes: Any) -> Payload:
    out = Path(payload["out"]).with_name(name)
    return worker.main({**payload, "steps": steps, "out": str(out), **changes}, LocalLine())


def records(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / "compile").glob("*.json"))


@pytest.mark.usefixtures("cheap")
def test_a_long_run_is_compiled_once_and_trains_to_the_same_losses(payload: Payload, tmp_path: Path) -> None:
    eager = run(payload, DECISION - 1, "eager")
    long = run(payload, 2 * DECISION + 5, "long")
    assert eager["compiled"] is False
    assert long["compiled"] is True and long["recompiles"] == 0 and long["compile_seconds"] > 0
    (record,) = records(tmp_path)
    assert min(json.loads(record.read_text()).values()) > 0


@pytest.mark.usefixtures("cheap")
@pytest.mark.parametrize("with_loss", [(), ("cpu",)])
def test_compiled_steps_are_the_same_steps(
    payload: Payload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_loss: tuple[str, ...]
) -> None:
    monkeypatch.setattr(torch_compile, "WITH_LOSS", with_loss)
    assert run(payload, DECISION + 6, "compiled")["recompiles"] == 0
    monkeypatch.setattr(torch_compile, "SPEEDUP", {})
    run(payload, DECISION + 6, "eager")
    got, expected = (checkpoint.load_weights(tmp_path / name / "checkpoint") for name in ("compiled", "eager"))
    for name, tensor in expected.items():
        torch.testing.assert_close(got[name], tensor, atol=1e-4, rtol=1e-4)


def test_a_run_that_wins_less_than_compiling_takes_is_not_compiled(payload: Payload, tmp_path: Path) -> None:
    assert run(payload, DECISION + 5)["compiled"] is False
    assert records(tmp_path) == []


@pytest.mark.usefixtures("cheap")
def test_a_run_is_compiled_always_or_never_when_that_is_asked(payload: Payload) -> None:
    assert run(payload, 3, "always", compile="always")["compiled"] is True
    assert run(payload, DECISION + 5, "never", compile="never")["compiled"] is False


@pytest.mark.usefixtures("cheap")
def test_without_a_compiler_it_says_so_and_goes_on(
    payload: Payload, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    result = run(payload, DECISION + 5)
    assert result["status"] == "done" and result["compiled"] is False
    assert "there is no g++ here" in capfd.readouterr().err


@pytest.mark.usefixtures("cheap")
def test_what_does_not_compile_runs_as_it_is_and_is_not_tried_again(
    payload: Payload, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch_compile, "BACKEND", "no_such_backend")
    first, second = run(payload, DECISION + 5, "first"), run(payload, DECISION + 5, "second")
    assert first["status"] == second["status"] == "done" and not first["compiled"] and not second["compiled"]
    assert capfd.readouterr().err.count("not compiled: ") == 1


@pytest.mark.usefixtures("cheap")
@pytest.mark.parametrize(("compiled_seconds", "decision"), [(0.9, True), (1.1, False)])
def test_what_was_measured_for_the_shape_overrules_the_guess(
    payload: Payload, tmp_path: Path, compiled_seconds: float, decision: bool
) -> None:
    run(payload, 2 * DECISION + 1, "first")
    (record,) = records(tmp_path)
    seconds = {"eager_seconds": 1.0, "compiled_seconds": compiled_seconds, "compile_seconds": 1e-6}
    record.write_text(json.dumps(seconds))
    assert run(payload, DECISION + 5, "second")["compiled"] is decision


@pytest.mark.usefixtures("cheap")
def test_a_resumed_run_goes_on_as_it_was_decided(payload: Payload, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foundry.train.callbacks.LOOK_SECONDS", 0.0)
    line = LocalLine(lambda facts: line.stop() if facts["step"] == DECISION + 2 else None)
    assert worker.main({**payload, "steps": DECISION + 8}, line)["compiled"] is True
    monkeypatch.setattr(torch_compile, "SPEEDUP", {})
    assert run(payload, DECISION + 8)["compiled"] is True


def test_another_shape_is_counted_as_a_recompile(payload: Payload) -> None:
    model = worker.GPT(Job.model_validate(payload).model, 11)

    def batch(rows: int) -> torch.Tensor:
        return torch.zeros(rows, 17, dtype=torch.int64)

    loss = Swappable(Job.model_validate(payload).train.loss.build())
    compiler = Compiler(model, loss, lambda step: batch(2), 1, {"layers": 1}, 100, "fp32", decided=True)
    model.train()(batch(2)[..., :-1])
    assert compiler.facts()["recompiles"] == 0
    model(batch(3)[..., :-1])
    assert compiler.facts()["recompiles"] == 1
