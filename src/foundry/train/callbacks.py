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
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import torch

from foundry.core.errors import RunFailure
from foundry.core.files import write_atomic
from foundry.train.loop import StepInfo
from foundry.train.progress import Line

LOOK_SECONDS = 0.25
"""How often the device is waited for: heartbeats come a few times a second, and a NaN ends a run that soon."""
METRICS_LINES = 1000
"""A run leaves between one and two times as many lines of metrics; a shorter run one a step."""
TAIL_SHARE = 0.05
"""The training loss that is reported is the mean over this last share of the steps, at least one."""
STOP = "stop"
"""A file of this name in a run's folder asks a run to save and leave those that it trains with."""


class Seen(NamedTuple):
    """A run's step as numbers; seconds since the look before it."""

    step: int
    loss: float
    grad_norm: float
    lr: float
    seconds: float


class Record:
    """What is kept of one run beside its weights: metrics.jsonl, its last losses, its seconds.

    `save` is given what to remember beside the state; `saved` is what it was given before an interruption.
    """

    def __init__(
        self,
        out: Path,
        save: Callable[[dict[str, Any]], None],
        *,
        steps: int,
        step_tokens: int,
        saved: Mapping[str, Any] | None = None,
        writes: bool = True,
    ) -> None:
        self.out, self.save, self.writes = out, save, writes
        self.steps, self.step_tokens = steps, step_tokens
        self.metrics = out / "metrics.jsonl"
        saved = saved or {"step": 0, "seconds": 0.0, "tail": []}
        self.step: int = saved["step"]
        self.saved_step = self.step if saved["tail"] else -1
        self.seconds: float = saved["seconds"]
        """Wall seconds of training up to the last look, over all interruptions, writing checkpoints left out."""
        self.tail: deque[float] = deque(saved["tail"], maxlen=max(1, round(TAIL_SHARE * steps)))
        self.every_steps = max(1, steps // METRICS_LINES)
        self.loss: float | None = None
        """The last loss that was looked at."""
        self.left = False
        """Whether it no longer trains with the others."""
        if writes:
            out.mkdir(parents=True, exist_ok=True)
            write_atomic(self.metrics, kept_lines(self.metrics, self.step))

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
        self.seconds, self.step, self.loss = self.seconds + passed_seconds, seen[-1].step, seen[-1].loss
        self._append(rows)

    def checkpoint(self) -> None:
        """Save; the lines of metrics are on disk before it."""
        if self.writes:
            with open(self.metrics, "rb") as file:
                os.fsync(file.fileno())
            self.save({"step": self.step, "seconds": self.seconds, "tail": list(self.tail)})
        self.saved_step = self.step

    def leave(self) -> None:
        self.left, self.loss = True, None

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


def _raised(record: Record, failure: RunFailure) -> NoReturn:
    raise failure


class Callbacks:
    """Takes each step's info, of a run alone or of runs that train together."""

    def __init__(
        self,
        line: Line,
        checkpoint_seconds: float,
        records: Sequence[Record] = (),
        everyone: Sequence[Record] | None = None,
        on_failure: Callable[[Record, RunFailure], None] = _raised,
        on_stop: Callable[[Record], None] = Record.leave,
    ) -> None:
        """records: in the order of the losses. everyone: whose losses are told, as a list; None: that of a run alone.
        on_failure and on_stop see to it that a record leaves whose run failed, or is asked to stop."""
        self.line, self.checkpoint_seconds, self.records = line, checkpoint_seconds, records
        self.everyone, self.on_failure, self.on_stop = everyone, on_failure, on_stop
        self.pending: list[tuple[StepInfo, float]] = []
        self.looked = self.saved = time.perf_counter()

    @property
    def live(self) -> list[Record]:
        return [record for record in self.records if not record.left]

    def note(self, info: StepInfo) -> None:
        """Count one step; now and then look at the losses so far, and save. Raises what `on_failure` raises."""
        now = time.perf_counter()
        self.pending.append((info, now))
        if now - self.looked >= LOOK_SECONDS:
            self.look()
        if now - self.saved >= self.checkpoint_seconds:
            self.checkpoint()

    def look(self) -> None:
        """Wait for the device, check the losses since the last look, write their lines, tell."""
        if not self.pending:
            return
        pending, self.pending = self.pending, []
        losses = torch.stack([info.loss for info, _ in pending]).reshape(len(pending), -1).tolist()
        norms = torch.stack([info.grad_norm for info, _ in pending]).reshape(len(pending), -1).tolist()
        before, self.looked = self.looked, time.perf_counter()
        share = 1 / len(self.live)
        for place, record in self._places():
            seen = [
                Seen(info.step, loss[place], norm[place], _rate(info, place), share * (at - before))
                for (info, at), loss, norm in zip(pending, losses, norms, strict=True)
            ]
            try:
                record.take(seen, share * (self.looked - before))
            except RunFailure as failure:
                self.on_failure(record, failure)
        for record in self.live:
            if (record.out / STOP).exists():
                (record.out / STOP).unlink()
                self.on_stop(record)
        self._tell(pending[-1][0].step)

    def checkpoint(self) -> None:
        """Look, then save each: a state whose loss isn't a number is never saved."""
        self.look()
        for record in self.live:
            try:
                record.checkpoint()
            except RunFailure as failure:
                self.on_failure(record, failure)
        self.looked = self.saved = time.perf_counter()

    def _places(self) -> Iterator[tuple[int, Record]]:
        return ((place, record) for place, record in enumerate(self.records) if not record.left)

    def _tell(self, step: int) -> None:
        first = self.records[0]
        tokens = step * sum(record.step_tokens for record in self.live)
        facts = {"loss": first.loss} if self.everyone is None else {"losses": [each.loss for each in self.everyone]}
        self.line.tell(step=step, steps=first.steps, tokens=tokens, **facts)


def _rate(info: StepInfo, place: int) -> float:
    return info.lr[place] if isinstance(info.lr, Sequence) else info.lr


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
