"""What `foundry check` does inside the sandbox: the slot's clauses one by one, then twenty steps of a tiny model.

What comes out is advice: the file that is checked could forge it. The judge, who comes after, can't be forged.
Shapes: B rows, T context. May not: be run where it isn't confined.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from foundry import contract
from foundry.core.errors import RunFailure
from foundry.core.section import validate
from foundry.core.slots import SLOTS
from foundry.execute.progress_channel import Line
from foundry.model import ModelConfig, build, initialise
from foundry.train import checkpoint
from foundry.train.config import TrainConfig
from foundry.train.loop import train
from foundry.train.state import TrainState

STEPS, ROWS = 20, 8

Fault = dict[str, Any]
"""clause, contract (file:line of the clause), says, seen, line (in the checked file, or None)."""


def main(payload: dict[str, Any], line: Line, asked: None) -> dict[str, Any]:
    """payload: slot (name, or "" for a whole model), kind, file, model, train, vocab_size, out.

    Returns {"passed": [clause], "faults": [Fault]}; fresh and trained weights are in out/fresh and out/trained.
    Tells the clause that is on trial, so that what ends this process can be blamed.
    """
    torch.set_num_threads(1)
    file = payload["file"]
    passed: list[str] = []
    faults: list[Fault] = []

    def tried(clause: str, action: Callable[[], object], code: Any = None) -> None:
        line.tell(clause=clause)
        try:
            action()
            passed.append(clause)
        except Exception as error:
            faults.append(_fault(clause, action if code is None else code, error, file))

    slot = next((slot for slot in SLOTS if slot.name == payload["slot"]), None)
    if slot is not None:
        tried("imports", lambda: slot.config(payload["kind"]))
        for clause in contract.clauses(slot) if passed else ():
            tried(clause.__name__, lambda clause=clause: clause(slot, payload["kind"]), clause)
    if passed or slot is None:
        tried("trains", lambda: _train(payload))
    return {"passed": passed, "faults": faults}


def _fault(clause: str, code: Any, error: Exception, file: str) -> Fault:
    seen = error.detail if isinstance(error, RunFailure) else _words(error)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    cause = error.__cause__
    while not frames and cause is not None:
        frames = [frame for frame in traceback.extract_tb(cause.__traceback__) if frame.filename == file]
        cause = cause.__cause__
    stands = Path(code.__code__.co_filename)
    where = f"{stands.parent.name}/{stands.name}:{code.__code__.co_firstlineno}"
    return {
        "clause": clause,
        "contract": where if clause.startswith("check_") else "",
        "says": (code.__doc__ or "").strip().split("\n")[0],
        "seen": seen.removeprefix(f"{clause}: "),
        "line": frames[-1].lineno if frames else None,
    }


def _words(error: Exception) -> str:
    if isinstance(error, contract.ContractError):
        return error.message
    return f"{type(error).__name__}: {error}"[:1000]


def _train(payload: dict[str, Any]) -> None:
    """Weights of a tiny model, fresh and after a few steps on random tokens."""
    config, out = validate(ModelConfig, payload["model"], "model"), Path(payload["out"])
    rules = validate(TrainConfig, payload["train"], "train")
    model = build(config, payload["vocab_size"])
    initialise(model, 0)
    state = TrainState.fresh(model, rules)
    checkpoint.save(out / "fresh", state, {"identity": "check"}, finished=True)
    draw = torch.Generator().manual_seed(0)

    def batch_at(step: int) -> torch.Tensor:
        return torch.randint(payload["vocab_size"], (ROWS, config.context + 1), generator=draw)

    for fact in train(state, model, batch_at, rules, seed=0, steps=STEPS):
        if not torch.isfinite(fact.loss):
            raise RunFailure("nan", f"the loss is {fact.loss.item()} at step {fact.step}")
    if not state.finite():
        raise RunFailure("nan", "weights are not finite after training")
    checkpoint.save(out / "trained", state, {"identity": "check"}, finished=True)
