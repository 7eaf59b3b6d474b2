"""Compiling: by a rule, never a reason to fail, never a silent recompile.

It is tried with a backend that captures the same graphs and generates no code.
"""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from foundry.core.errors import RequestError
from foundry.train import checkpoint, torch_compile, worker
from foundry.train.program import Job, fresh
from foundry.train.progress import LocalLine
from foundry.train.torch_compile import LONG_FLOPS, asked_mode, wanted

Payload = dict[str, Any]
STEPS = 6


@pytest.fixture(autouse=True)
def no_code_generated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOUNDRY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(torch_compile, "BACKEND", "aot_eager")
    torch._dynamo.reset()
    logging.getLogger("torch.__trace").setLevel(logging.WARNING)  # else a failure shows a hundred lines of it


@pytest.fixture
def payload(payload: Payload) -> Payload:
    """One layer: less to trace."""
    return {**payload, "model": {**payload["model"], "layers": 1, "dropout": 0.0}}


def run(payload: Payload, name: str = "run", **changes: Any) -> Payload:
    out = Path(payload["out"]).with_name(name)
    return worker.main({**payload, "steps": STEPS, "out": str(out), **changes}, LocalLine())


@pytest.mark.parametrize("with_loss", [(), ("cpu",)])
def test_compiled_steps_are_the_same_steps(
    payload: Payload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_loss: tuple[str, ...]
) -> None:
    monkeypatch.setattr(torch_compile, "WITH_LOSS", with_loss)
    result = run(payload, "compiled", compile="always")
    assert result["compiled"] is True and result["recompiles"] == 0 and result["compile_seconds"] > 0
    assert run(payload, "eager")["compiled"] is False
    got, expected = (checkpoint.load_weights(tmp_path / name / "checkpoint") for name in ("compiled", "eager"))
    for name, tensor in expected.items():
        torch.testing.assert_close(got[name], tensor, atol=1e-4, rtol=1e-4)


def test_a_long_run_is_compiled_on_cuda_and_on_a_cpu_only_when_that_is_asked(payload: Payload) -> None:
    def decided(device: str, tokens: int) -> list[bool]:
        model = torch.nn.Linear(1000, 1000, bias=False, device=device)
        return [wanted(mode, model, tokens) for mode in ("never", "auto", "always")]

    long = round(LONG_FLOPS["cuda"] / 6e6) + 1
    assert decided("cpu", long) == decided("cpu", 1) == [False, False, True]
    meta = "meta"  # stands for a device with a length from which on it pays
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(LONG_FLOPS, meta, LONG_FLOPS["cuda"])
        assert decided(meta, long) == [False, True, True] and decided(meta, long - 2) == [False, False, True]


def test_how_to_compile_is_an_option_of_the_environment_and_another_word_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("FOUNDRY_COMPILE", raising=False)
    assert asked_mode() == "auto"
    monkeypatch.setenv("FOUNDRY_COMPILE", "always")
    assert asked_mode() == "always"
    monkeypatch.setenv("FOUNDRY_COMPILE", "yes")
    with pytest.raises(RequestError, match=r"FOUNDRY_COMPILE: no 'yes' \(choices: auto, always, never\)"):
        asked_mode()


def test_what_does_not_compile_runs_as_it_is_and_says_so(
    payload: Payload, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch_compile, "BACKEND", "no_such_backend")
    result = run(payload, "strange", compile="always")
    assert result["status"] == "done" and result["compiled"] is False
    assert capfd.readouterr().err.count("not compiled: ") == 1


def test_without_a_compiler_it_says_so_and_goes_on(
    payload: Payload, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch_compile, "BACKEND", "inductor")
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", ("no-such-compiler",))
    result = run(payload, compile="always")
    assert result["status"] == "done" and result["compiled"] is False
    assert "not compiled: " in capfd.readouterr().err


@pytest.mark.parametrize(("first", "then"), [("always", "auto"), ("never", "always")])
def test_a_resumed_run_goes_on_as_it_was_decided(
    payload: Payload, monkeypatch: pytest.MonkeyPatch, first: str, then: str
) -> None:
    monkeypatch.setattr("foundry.train.callbacks.LOOK_SECONDS", 0.0)
    line = LocalLine(lambda facts: line.stop() if facts["step"] == 2 else None)
    before = worker.main({**payload, "steps": STEPS, "compile": first}, line)
    after = run(payload, compile=then)
    assert (before["steps"], after["steps"]) == (2, STEPS)
    assert before["compiled"] is after["compiled"] is (first == "always")


def test_another_shape_is_counted_as_a_recompile(payload: Payload) -> None:
    job = Job.model_validate(payload)
    model = fresh(job, torch.device("cpu")).model

    def batch(rows: int) -> torch.Tensor:
        return torch.zeros(rows, 17, dtype=torch.int64)

    made = torch_compile.compiled(model, job.train.loss.build(), batch(2), contextlib.nullcontext, lambda line: None)
    assert made is not None
    model.train()(batch(2)[..., :-1])
    assert made.facts()["recompiles"] == 0
    model(batch(3)[..., :-1])
    assert made.facts()["recompiles"] == 1
