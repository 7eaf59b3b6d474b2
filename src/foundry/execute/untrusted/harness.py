"""Runs that execute workspace code: a harness that is ours, and inside a sandbox a process that is theirs.

The harness counts batches and seconds by itself, hears what comes over the wire as claims, and takes weights out of the
sandbox's folder through no link, with their hashes checked. May not: import workspace code.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from foundry.core.errors import FoundryError, Killed, RunFailure, WorkError
from foundry.core.files import remove_tree, write_json
from foundry.core.section import validate
from foundry.execute.untrusted.batch_feed import Block
from foundry.execute.untrusted.child_handle import ChildHandle
from foundry.sandbox.usage import written_bytes
from foundry.train import checkpoint
from foundry.train.distributed import World
from foundry.train.program import BatchAt, Job, reader
from foundry.train.progress import Line

LOOK_SECONDS = 0.5
HARVEST_SECONDS = 5.0
MEASURE_SECONDS = 60.0
"""At most, for one forward pass of one row; a run's own limits may be lower."""
DISK_BYTES = 4 << 30
"""All that a run may leave on the disk while it runs."""
LARGEST = 1e30
"""Of numbers in a report."""
SPENT = "spent.json"
"""In a run's folder: the CPU seconds that its trainings have used so far, those of an attempt that was cut off too."""


def train(payload: dict[str, Any], line: Line) -> dict[str, Any]:
    """Train a run with workspace code. payload: train (as for `train.worker`), workspace, tier, memory_bytes.

    Returns what `train.worker.main` returns, with tokens and seconds as they were counted here. Raises RunFailure.
    """
    os.environ["FOUNDRY_WORKSPACE"] = payload["workspace"]  # where fields are read from, as text
    harness = _Training(payload["train"], Path(payload["workspace"]), payload["tier"], payload["memory_bytes"], line)
    return harness.run()


def measure(payload: dict[str, Any], line: Line) -> dict[str, Any]:
    """{"flops_per_token", "parameters"} of a model with workspace code. Raises RunFailure.

    payload: model, vocab_size, workspace, tier, memory_bytes, folder (to be made and removed), seconds."""
    folder = Path(payload["folder"])
    _make_empty(folder)
    try:
        asked = {key: payload[key] for key in ("model", "vocab_size")}
        inner = ChildHandle(
            "foundry.execute.untrusted.child_main:measure",
            asked,
            folder,
            Path(payload["workspace"]),
            payload["tier"],
            payload["memory_bytes"],
            printed=Path(os.devnull),
        )
        seconds = min(MEASURE_SECONDS, payload["seconds"])
        inner.await_start(line.tell)
        if inner.hear_out(seconds):
            raise RunFailure("timeout", f"one forward pass of one row took over {seconds:g} s")
        found = inner.result()
        counts = {key: found.get(key) for key in ("flops_per_token", "parameters")}
        if not all(isinstance(count, int) and 0 < count < 1 << 62 for count in counts.values()):
            raise RunFailure("invalid", "no FLOPs could be counted")
        return counts
    finally:
        remove_tree(folder)


def judge(payload: dict[str, Any], line: Line) -> dict[str, Any]:
    """`judge.worker.main`, with the workspace that its contestants are to read."""
    from foundry.judge import worker

    os.environ["FOUNDRY_WORKSPACE"] = payload.pop("workspace")
    return worker.main(payload, line)


@dataclass
class _Training:
    """One training run under supervision."""

    payload: dict[str, Any]
    workspace: Path
    tier: str
    memory_bytes: int
    line: Line
    served: int = 0
    """Steps whose batch was handed over."""
    started: float = field(default_factory=time.perf_counter)
    first: float = 0.0
    before: float | None = 0.0
    """CPU seconds of earlier attempts; None where nobody has counted them."""
    _saved: tuple[int, int] = (0, 0)
    _harvested: float = 0.0

    def __post_init__(self) -> None:
        self.out = Path(self.payload["out"])
        self.folder = self.out / "sandbox"

    def run(self) -> dict[str, Any]:
        try:
            return self._run()
        finally:  # whatever became of it, what the code wrote doesn't stay
            remove_tree(self.folder)

    def _run(self) -> dict[str, Any]:
        # Sealed configs: its sizes are known, and whatever else is theirs is for the sandbox.
        job = validate(Job, {**self.payload, "threads": 0})
        self.served = due = self._resume_at()
        block = Block(job.train.batch_size, job.model.context)
        inside = {**self.payload, "out": str(self.folder), "train_dir": ""}
        inner = ChildHandle(
            "foundry.execute.untrusted.child_main:train",
            inside,
            self.folder,
            self.workspace,
            self.tier,
            self.memory_bytes,
            block,
        )
        block.keep_harness_end()
        try:
            batch_at = reader([job], World.from_torchrun())  # after the fork: training tokens stay on this side
            inner.await_start(self.line.tell)
            self._attend(inner, block, batch_at, job.steps)
        finally:
            inner.end()
            block.close()
            cpu_seconds = self._keep_count(inner)
            self._take_out_metrics()
        claims = self._claims(inner)
        finished = self.served == job.steps and claims.get("status") == "done"
        if not finished and not self.line.stopping:
            raise RunFailure("invalid", f"training ended after {self.served - due} of {job.steps - due} steps")
        if inner.cpu_seconds is None:  # what is honest waits to be ended
            raise RunFailure("invalid", "it was gone before its CPU clock could be read")
        self._harvest(must=True)
        if finished:
            (self.out / SPENT).unlink(missing_ok=True)  # trained again, it is counted anew
        loss = claims.get("train_loss")
        seconds = time.perf_counter() - (self.first or self.started)
        return {
            "status": "done" if finished else "interrupted",
            "steps": self.served,
            "tokens": self.served * job.step_tokens,
            "train_loss": float(loss) if isinstance(loss, (int, float)) else None,
            "seconds": round(seconds, 4),
            "setup_seconds": round((self.first or time.perf_counter()) - self.started, 4),
            "cpu_seconds": cpu_seconds,
            "tier": self.tier,
        }

    def _attend(self, inner: ChildHandle, block: Block, batch_at: BatchAt, steps: int) -> None:
        """Hand over batches in their order and pass on reports, until the process inside has said its last word."""
        told, asked_to_stop = 0.0, False
        while inner.open:
            inner.hear(LOOK_SECONDS)
            messages, inner.messages = inner.messages, []
            for message in messages:
                if "batch" in message:
                    if message["batch"] != self.served or self.served >= steps:
                        wanted = repr(message["batch"])[:40]
                        raise RunFailure("invalid", f"asked for batch {wanted} where {self.served} of {steps} is due")
                    if not self.first:
                        self.first = time.perf_counter()
                    block.hand_over(batch_at(self.served))
                    self.served += 1
                    if time.monotonic() - told > LOOK_SECONDS:
                        told = time.monotonic()
                        self.line.tell(step=self.served, steps=steps, **_numbers(message))
                elif isinstance(facts := message.get("tell"), dict):
                    told = time.monotonic()
                    self.line.tell(**{**_numbers(facts), "step": self.served, "steps": steps})
            if self.line.stopping and not asked_to_stop:
                asked_to_stop = True
                inner.ask_to_stop()
            self._look_after(inner)

    def _claims(self, inner: ChildHandle) -> dict[str, Any]:
        """What it says that it did. Of one that was killed nothing is gone on from: it may have had a hand in that."""
        try:
            return inner.result()
        except Killed:
            checkpoint.discard(self.out / "checkpoint")
            raise

    def _keep_count(self, inner: ChildHandle) -> float | None:
        """The CPU seconds since the code could first run, of this attempt and those before it: put down at once,
        because an attempt that is cut off has used them too. None where an attempt's aren't known."""
        if inner.begun is None:
            return self.before
        used = None
        if self.before is not None and inner.cpu_seconds is not None:
            used = round(self.before + inner.cpu_seconds - inner.begun, 4)
        write_json(self.out / SPENT, {"cpu_seconds": used})
        return used

    def _look_after(self, inner: ChildHandle) -> None:
        """Every few seconds: bound what is written, count, and bring a new checkpoint to safety."""
        if time.monotonic() - self._harvested > HARVEST_SECONDS:
            self._harvested = time.monotonic()
            if (used := written_bytes(self.folder)) > DISK_BYTES:
                raise RunFailure("crash", f"{used >> 20} MiB written, the limit is {DISK_BYTES >> 20} MiB")
            inner.look_at_its_clock()
            self._keep_count(inner)
            self._harvest()

    def _resume_at(self) -> int:
        """Make the sandbox's folder, with the run's own checkpoint in it if there is one; the step that it is at."""
        _make_empty(self.folder)
        if (self.out / SPENT).exists():
            self.before = json.loads((self.out / SPENT).read_text())["cpu_seconds"]
        elif (self.out / "checkpoint").exists():  # of a version that counted nothing
            self.before = None
        try:
            return checkpoint.copy(self.out / "checkpoint", self.folder / "checkpoint") or 0
        except WorkError as error:
            self.line.tell(note=f"trained again from the start: {error.path}: {error.message}")
            checkpoint.discard(self.out / "checkpoint")
            checkpoint.discard(self.folder / "checkpoint")
            return 0

    def _harvest(self, must: bool = False) -> None:
        """Take the checkpoint out if it is new. Raises RunFailure, where it `must` be there, when it isn't whole."""
        source = self.folder / "checkpoint"
        try:
            status = os.stat(source / checkpoint.MANIFEST, follow_symlinks=False)
            if not must and (status.st_ino, status.st_mtime_ns) == self._saved:
                return
            step = checkpoint.copy(source, self.out / "checkpoint")
            self._saved = (status.st_ino, status.st_mtime_ns)
        except (OSError, FoundryError) as error:
            if must:
                raise RunFailure("invalid", f"no whole checkpoint was left: {error}") from None
            return
        if step is None or step > self.served:
            raise RunFailure("invalid", f"a checkpoint of step {step} after {self.served} batches")

    def _take_out_metrics(self) -> None:
        with contextlib.suppress(OSError):
            source = os.open(self.folder / "metrics.jsonl", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with open(source, "rb") as file:
                (self.out / "metrics.jsonl").write_bytes(file.read(1 << 24))


def _numbers(facts: dict[str, Any]) -> dict[str, Any]:
    """The few numbers of a report that are worth passing on, where they are such as a report can have."""
    known = ("loss", "lr", "grad_norm", "tokens_per_second")
    told = {key: facts.get(key) for key in known}
    return {key: n for key, n in told.items() if isinstance(n, (int, float)) and abs(n) < LARGEST}


def _make_empty(folder: Path) -> None:
    remove_tree(folder)
    folder.mkdir(parents=True, mode=0o700)
