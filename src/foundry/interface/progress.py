"""Progress on stderr: live bars on a terminal, else a line at times; as lines of JSON, or none; or as calls of a
caller's own function. May not: write to stdout.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

import typer
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from foundry.core import files
from foundry.core.pace import LINE_SECONDS
from foundry.core.untrusted import framed, word
from foundry.documents.document import Document
from foundry.documents.recipes import Adoptable
from foundry.interface.report_code import to_adopt
from foundry.interface.terminal import PlainConsole, shown

if TYPE_CHECKING:
    from foundry.execute.result import RunResult
    from foundry.ledger.run_spec import RunSpec

Mode = Literal["plain", "json", "none"]


class Display:
    """A `Watcher` for people and programs. Use as a context manager; `say` prints a line above the bars."""

    every_seconds = LINE_SECONDS
    """How often a run's step is told."""

    def __init__(self, progress: Mode | None = None, as_json: bool = False) -> None:
        """progress: by default JSON where the document on stdout is, else plain."""
        self.mode: Mode = progress or ("json" if as_json else "plain")
        self.as_json = as_json
        self.console = PlainConsole(stderr=True)
        self.live = self.console.is_terminal and self.mode == "plain"
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
        self._since: dict[str, tuple[float, int]] = {}
        """When each run was first heard of at a step, and at which: what its pace is counted from."""

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
        if self.mode == "plain":
            self.console.print(line, soft_wrap=True)
        self._json(say=framed(line))

    def _json(self, **facts: Any) -> None:
        """One JSON object on one line of stderr, ASCII alone: nothing foreign reaches the terminal as it is."""
        if self.mode == "json":
            self.tell(files.as_json(facts))

    def tell(self, facts: dict[str, Any]) -> None:
        print(json.dumps(facts), file=sys.stderr, flush=True)

    # -- Watcher ---------------------------------------------------------------------------------------------------

    def started(self, spec: RunSpec, stage: str) -> None:
        name = word(spec.recipe.name)
        self._json(run=spec.id, stage=stage, recipe=spec.recipe.fingerprint, name=name, seed=spec.seed)
        if self.live:
            if spec.id not in self._tasks:
                self._tasks[spec.id] = self._bars.add_task(_label(spec), total=1.0, facts="starting")
            self._bars.update(self._tasks[spec.id], facts="judging" if stage == "judge" else "starting")
        self._said[spec.id] = time.monotonic()

    def progressed(self, spec: RunSpec, stage: str, facts: dict[str, Any]) -> None:
        if "note" in facts:
            self.say(f"  {_label(spec)}  {facts['note']}")
        if stage != "train" or "step" not in facts:
            return
        now, step, steps = time.monotonic(), facts["step"], spec.recipe.steps(spec.budget_tokens)
        begun, first = self._since.setdefault(spec.id, (now, step))
        rate = (step - first) / (now - begun) if step > first and now > begun else None
        loss = facts.get("loss")
        loss = loss if loss is not None and math.isfinite(loss) else None  # JSON has no nan
        text = f"step {step}/{steps}" + (f"  loss {loss:.3f}" if loss is not None else "")
        if self.live and spec.id in self._tasks:
            self._bars.update(self._tasks[spec.id], completed=step / steps, facts=text)
        elif not self.live and now - self._said.get(spec.id, 0) >= self.every_seconds:
            self._said[spec.id] = now
            tokens_per_second = rate and round(rate * spec.recipe.step_tokens, 1)
            eta_seconds = rate and round((steps - step) / rate, 1)
            known = {"loss": loss, "tokens_per_second": tokens_per_second, "eta_seconds": eta_seconds}
            if self.mode == "plain":
                pace = f"  {tokens_per_second:,.0f} tokens a second, {eta_seconds:,.0f} s to go" if rate else ""
                self.say(f"  {_label(spec)}  {text}{pace}")
            self._json(run=spec.id, stage=stage, step=step, steps=steps, **known)

    def ended(self, result: RunResult) -> None:
        self._since.pop(result.id, None)
        if self.live and result.id in self._tasks:
            self._bars.remove_task(self._tasks.pop(result.id))
        last_line = result.detail.splitlines()[-1] if result.detail else ""
        self._json(**replace(result.document, detail=last_line).to_dict(), stored=result.stored)
        if self.mode != "plain":
            return
        if result.ok:
            seconds = result.facts.get("seconds")
            cost = "from the ledger" if result.stored else f"{seconds:.1f} s" if seconds is not None else ""
            unit = "bits per byte" + (" on the sealed test split" if result.split == "test" else "")
            self.say(f"  {_label(result.spec)}  {result.bpb:.4f} {unit}  ({cost})")
        else:
            self.say(f"  {_label(result.spec)}  failed: {result.reason}  {last_line}")


class Terminal(Display):
    """A command's: it can ask whoever sits there."""

    def sees(self, document: Document) -> None:
        from foundry.interface.answer import answer

        answer(document, self.as_json)
        sys.stdout.flush()

    def agrees(self, seen: Adoptable, given: bool) -> bool:
        if not self.as_json:
            to_adopt(seen)
        return given or (not self.as_json and sys.stdin.isatty() and typer.confirm("Adopt it?"))


class Calls(Display):
    """A program's: each fact is a call, and nothing is printed. Without a function nobody is told."""

    every_seconds = 0.5

    def __init__(self, function: Callable[[dict[str, Any]], object] | None) -> None:
        super().__init__("json" if function is not None else "none")
        self._function = function

    def tell(self, facts: dict[str, Any]) -> None:
        assert self._function is not None  # the mode says so
        self._function(facts)

    def sees(self, document: Document) -> None:
        self._json(**document.to_dict())

    def agrees(self, seen: Adoptable, given: bool) -> bool:
        return given


def _label(spec: RunSpec) -> str:
    seed = str(spec.seed) if spec.seed < 10**6 else f"…{spec.seed % 10**5:05d}"
    return shown(f"{spec.recipe.name or spec.recipe.fingerprint[:8]} · seed {seed}")
