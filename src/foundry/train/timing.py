"""A rehearsal of a run, to be timed from outside: the ordinary worker's steps, marked where the clock may look.

The worker of `worker.py` itself runs, so that whatever makes its steps faster is in them. It tells `window="begin"`
once it is warm and `window="end"` with the steps in between; a run that is over too soon is rehearsed again. The
caller reads its own clock when the marks arrive. May not: keep a result, a checkpoint or a time.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import Field

from foundry.core.section import Section, validate
from foundry.train import worker
from foundry.train.progress import Line

WARMUP_STEPS = 50
"""Not timed, in a run of at least 200 steps: allocators settle, and what compiles or records has done so."""


class Rehearsal(Section):
    """The payload of `main`. run: the payload of worker.main; its `out` is removed afterwards."""

    run: dict[str, Any]
    window_seconds: float = Field(gt=0)
    """Least time to mark, over as many rehearsals as it takes. A hint: this process's clock is not believed."""


class Window:
    """A worker's line that counts steps: the worker asks whether to stop exactly once after each."""

    def __init__(self, line: Line, steps: int, seconds: float) -> None:
        self.line, self.steps, self.seconds = line, steps, seconds
        self.warm = min(WARMUP_STEPS, steps // 4)
        self.done, self.spent_seconds = 0, 0.0
        self._since = 0.0
        if self.warm == 0:
            self._begin()

    def tell(self, **facts: Any) -> None:
        """The worker's own reports are not passed on: between two marks nothing else is to be heard."""

    @property
    def stopping(self) -> bool:
        self.done += 1
        if self.done == self.warm:
            self._begin()
        elif self.done > self.warm:
            over = time.perf_counter() - self._since >= self.seconds
            if over or self.done == self.steps or self.line.stopping:
                _settle()
                self.spent_seconds = time.perf_counter() - self._since
                self.line.tell(window="end", steps=self.done - self.warm)
                return True
        return self.line.stopping

    def _begin(self) -> None:
        _settle()
        self.line.tell(window="begin")
        self._since = time.perf_counter()


def main(payload: Mapping[str, Any], line: Line) -> dict[str, Any]:
    """Rehearse until about `window_seconds` were marked. Returns {"rehearsals"}; raises what worker.main raises."""
    job = validate(Rehearsal, dict(payload))
    left, count = job.window_seconds, 0
    while left > 0 and not line.stopping:
        window = Window(line, job.run["steps"], left)
        worker.main(job.run, window)
        shutil.rmtree(Path(job.run["out"]) / "checkpoint", ignore_errors=True)
        left -= window.spent_seconds
        count += 1
    return {"rehearsals": count}


def _settle() -> None:
    """Wait for the device: a mark is set where all steps before it are done."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    elif torch.backends.mps.is_available():
        torch.mps.synchronize()
