"""What happens beside the steps: metrics lines, heartbeats, checkpoints, and the check that losses are numbers.

What is written never depends on when: which steps get a line follows from the run's length, so an interrupted run and
an uninterrupted one leave the same losses. May not: touch the state, or wait for the device at every step.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch

from foundry.core.errors import RunFailure
from foundry.core.files import write_atomic
from foundry.train.loop import Fact
from foundry.train.progress import Line

LOOK_SECONDS = 0.25
"""How often the device is waited for: heartbeats come a few times a second, and a NaN ends a run that soon."""
METRICS_LINES = 1000
"""A run leaves between one and two times as many lines of metrics; a shorter run one a step."""
TAIL_SHARE = 0.05
"""The training loss that is reported is the mean over this last share of the steps, at least one."""


class Seen(NamedTuple):
    """A step's fact as numbers; seconds since the look before it."""

    step: int
    loss: float
    grad_norm: float
    lr: float
    seconds: float


class Cadence:
    """Takes each step's fact. `save` is given what to remember beside the state; `record` is what it was given."""

    def __init__(
        self,
        out: Path,
        line: Line,
        save: Callable[[dict[str, Any]], None],
        *,
        steps: int,
        step_tokens: int,
        checkpoint_seconds: float,
        record: Mapping[str, Any] | None = None,
        writes: bool = True,
    ) -> None:
        self.line, self.save, self.writes = line, save, writes
        self.steps, self.step_tokens, self.checkpoint_seconds = steps, step_tokens, checkpoint_seconds
        self.metrics = out / "metrics.jsonl"
        record = record or {"step": 0, "seconds": 0.0, "tail": []}
        self.step: int = record["step"]
        self.saved_step = self.step if record["tail"] else -1
        self.seconds: float = record["seconds"]
        """Wall seconds of training up to the last look, over all interruptions, writing checkpoints left out."""
        self.tail: deque[float] = deque(record["tail"], maxlen=max(1, round(TAIL_SHARE * steps)))
        self.every_steps = max(1, steps // METRICS_LINES)
        self.pending: list[tuple[Fact, float]] = []
        if writes:
            out.mkdir(parents=True, exist_ok=True)
            write_atomic(self.metrics, kept_lines(self.metrics, self.step))
        self.looked = self.saved = time.perf_counter()

    def note(self, fact: Fact) -> None:
        """Count one step; now and then look at the losses so far, and save. Raises RunFailure `nan`."""
        now = time.perf_counter()
        self.pending.append((fact, now))
        if now - self.looked >= LOOK_SECONDS:
            self.look()
        if self.writes and now - self.saved >= self.checkpoint_seconds:
            self.checkpoint()

    def look(self) -> None:
        """Wait for the device, check the losses since the last look, write their lines, tell. Raises RunFailure."""
        if not self.pending:
            return
        losses = torch.stack([fact.loss for fact, _ in self.pending]).tolist()
        norms = torch.stack([fact.grad_norm for fact, _ in self.pending]).tolist()
        seen = [
            Seen(fact.step, loss, norm, cast(float, fact.lr), at - self.looked)
            for (fact, at), loss, norm in zip(self.pending, losses, norms, strict=True)
        ]
        self.pending.clear()
        now = time.perf_counter()
        passed, self.looked = now - self.looked, now
        self.take(seen, passed)
        tokens = self.step * self.step_tokens
        self.line.tell(step=self.step, steps=self.steps, loss=losses[-1], tokens=tokens, seconds=self.seconds)

    def take(self, seen: Sequence[Seen], passed_seconds: float) -> None:
        """Put on the record the steps since the last look, which took so long. Raises RunFailure `nan`."""
        rows = []
        for one in seen:
            if not math.isfinite(one.loss):
                self._append(rows)
                raise RunFailure("nan", f"loss became {one.loss} at step {one.step}")
            self.tail.append(one.loss)
            if one.step % self.every_steps == 0 or one.step == self.steps:
                rows.append(self._row(one))
        self.seconds, self.step = self.seconds + passed_seconds, seen[-1].step
        self._append(rows)

    def checkpoint(self) -> None:
        """Look, then save: a state whose loss isn't a number is never saved, and its lines are on disk before it."""
        self.look()
        if self.writes:
            with open(self.metrics, "rb") as file:
                os.fsync(file.fileno())
            self.save({"step": self.step, "seconds": self.seconds, "tail": list(self.tail)})
        self.saved_step = self.step
        self.looked = self.saved = time.perf_counter()

    def train_loss(self) -> float | None:
        """Mean loss of the last 5% of the run's steps, those that are done; None before the first."""
        return math.fsum(self.tail) / len(self.tail) if self.tail else None

    def _row(self, seen: Seen) -> dict[str, Any]:
        return {
            "step": seen.step,
            "loss": seen.loss,
            "lr": float(seen.lr),
            "grad_norm": seen.grad_norm if math.isfinite(seen.grad_norm) else None,
            "tokens": seen.step * self.step_tokens,
            "seconds": round(self.seconds + seen.seconds, 4),
        }

    def _append(self, rows: list[dict[str, Any]]) -> None:
        if self.writes and rows:
            with open(self.metrics, "a") as file:
                file.write("".join(json.dumps(row) + "\n" for row in rows))


def kept_lines(metrics: Path, step: int) -> str:
    """The lines of a metrics file up to `step`; what follows, and a line that a crash has cut, is dropped."""
    kept: list[str] = []
    for text in metrics.read_text().splitlines(keepends=True) if metrics.exists() else ():
        try:
            if not (text.endswith("\n") and json.loads(text)["step"] <= step):
                break
        except (ValueError, KeyError, TypeError):
            break
        kept.append(text)
    return "".join(kept)
