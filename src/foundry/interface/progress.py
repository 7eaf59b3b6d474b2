"""Progress on stderr: live bars on a terminal, else a line at times, JSON with --json. May not: write to stdout."""

from __future__ import annotations

import json
import math
import sys
import time
from types import TracebackType
from typing import Any, Self

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from foundry.interface.terminal import PlainConsole, shown
from foundry.runs.result import RunResult
from foundry.runs.spec import RunSpec

LINE_SECONDS = 10.0  # between two lines about the same run where there is no terminal


class Display:
    """A `Watcher` for people. Use as a context manager; `say` prints a line above the bars."""

    def __init__(self, as_json: bool = False) -> None:
        self.as_json = as_json
        self.console = PlainConsole(stderr=True)
        self.live = self.console.is_terminal and not as_json
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[facts]}", markup=False),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}
        self._said: dict[str, float] = {}

    def __enter__(self) -> Self:
        if self.live:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live:
            self._bars.stop()

    def say(self, line: str) -> None:
        if self.as_json:
            self._line(say=line)
        else:
            self.console.print(line, soft_wrap=True)

    def _line(self, **facts: Any) -> None:
        """One JSON object on one line of stderr, ASCII alone: nothing foreign reaches the terminal as it is."""
        print(json.dumps(facts), file=sys.stderr, flush=True)

    # -- Watcher ---------------------------------------------------------------------------------------------------

    def started(self, spec: RunSpec, stage: str) -> None:
        if self.as_json:
            self._line(run=spec.id, stage=stage, step=0, steps=spec.recipe.steps(spec.budget_tokens))
        if self.live:
            if spec.id not in self._tasks:
                self._tasks[spec.id] = self._bars.add_task(_label(spec), total=1.0, facts="starting")
            self._bars.update(self._tasks[spec.id], facts="judging" if stage == "judge" else "starting")
        self._said[spec.id] = time.monotonic()

    def progressed(self, spec: RunSpec, stage: str, facts: dict[str, Any]) -> None:
        if stage != "train" or "step" not in facts:
            return
        step, steps = facts["step"], spec.recipe.steps(spec.budget_tokens)
        text = f"step {step}/{steps}" + (f"  loss {facts['loss']:.3f}" if facts.get("loss") is not None else "")
        if self.live and spec.id in self._tasks:
            self._bars.update(self._tasks[spec.id], completed=step / steps, facts=text)
        elif not self.live and time.monotonic() - self._said.get(spec.id, 0) > LINE_SECONDS:
            self._said[spec.id] = time.monotonic()
            if self.as_json:
                self._line(run=spec.id, stage=stage, step=step, steps=steps, **_pace(step, steps, facts))
            else:
                self.say(f"  {_label(spec)}  {text}")

    def ended(self, result: RunResult) -> None:
        if self.live and result.id in self._tasks:
            self._bars.remove_task(self._tasks.pop(result.id))
        if result.ok:
            seconds = result.facts.get("seconds")
            cost = "from the ledger" if result.stored else f"{seconds:.1f} s" if seconds is not None else ""
            unit = "bits per byte" + (" on the sealed test split" if result.split == "test" else "")
            self.say(f"  {_label(result.spec)}  {result.bpb:.4f} {unit}  ({cost})")
        else:
            last_line = result.detail.splitlines()[-1] if result.detail else ""
            self.say(f"  {_label(result.spec)}  failed: {result.reason}  {last_line}")


def _label(spec: RunSpec) -> str:
    seed = str(spec.seed) if spec.seed < 10**6 else f"…{spec.seed % 10**5:05d}"
    return shown(f"{spec.recipe.name or spec.recipe.fingerprint[:8]} · seed {seed}")


def _pace(step: int, steps: int, facts: dict[str, Any]) -> dict[str, Any]:
    """Loss, tokens a second and seconds to go, each null while unknown (JSON has no nan)."""
    loss, tokens, seconds = facts.get("loss"), facts.get("tokens"), facts.get("seconds")
    seconds = seconds or 0.0
    return {
        "loss": loss if loss is not None and math.isfinite(loss) else None,
        "tokens_per_second": round(tokens / seconds, 1) if seconds and tokens else None,
        "eta_seconds": round(seconds * (steps - step) / step, 1) if seconds and step else None,
    }
