"""A seat: the judge's hold on one contestant's process. Asks it questions, bounds its time, names how it failed.

Once it has been shown judged text its own words are kept back: they could be that text. May not: import the
contestant's code, believe anything it says beyond a status byte and numbers.
"""

from __future__ import annotations

import signal
import time

import numpy as np
import torch
from torch import Tensor

from foundry.core.attended import readable
from foundry.core.errors import Killed, RunFailure
from foundry.judge.channel import Ask, Channel, Status
from foundry.judge.model_process import Process

KEPT_BACK = "the model's code failed on judged text; what it says of it is kept back (foundry check shows such words)"
EXIT_SECONDS = 2.0  # from the end of a process's answers to its own end
_REASONS = {Status.CRASH: "crash", Status.OOM: "oom", Status.INVALID: "invalid"}


class Seat:
    """Takes the judge's end of the channel; the process at the other end has started."""

    def __init__(self, channel: Channel, process: Process, call_seconds: float, made_up: bool = False) -> None:
        """made_up: the text is nobody's secret."""
        self.channel, self.process, self.call_seconds = channel, process, call_seconds
        self._loaded, self._made_up, self._has_seen = False, made_up, False
        self.forward_seconds = 0.0
        self._copy: np.ndarray | None = None
        channel.enter_judge()
        self._alive = True

    def forward(self, ids: np.ndarray) -> None:
        """Compute logits of `ids` [rows, T]. Raises RunFailure."""
        if not self._loaded:  # until here it has run nothing that isn't ours
            self._loaded = True
            self._ask(Ask.LOAD)
            self._wait()
        self._has_seen = not self._made_up
        self.channel.ids[: len(ids)] = ids
        started = time.monotonic()
        self._ask(Ask.FORWARD, len(ids))
        self._wait()
        self.forward_seconds += time.monotonic() - started

    def slice(self, start: int, count: int) -> Tensor:
        """Logits [count, V] of the last batch's positions from `start` on, counted row by row. Raises RunFailure.

        A copy: what the judge compares is what it scores, whatever the contestant writes meanwhile. It is written over
        by the next slice: new memory for each would cost as much as the copying.
        """
        self._ask(Ask.SLICE, start)
        self._wait()
        if self._copy is None:
            self._copy = np.empty_like(self.channel.logits)
        np.copyto(self._copy[:count], self.channel.logits[:count])
        return torch.from_numpy(self._copy[:count])

    def end(self) -> None:
        """Kill the process and take it off the table. May be called twice."""
        if self._alive:
            self._alive = False
            self.process.kill()
            self.channel.close()

    def _ask(self, ask: Ask, argument: int = 0) -> None:
        try:
            self.channel.ask(ask, argument)
        except BrokenPipeError:
            raise self._gone() from None

    def _wait(self) -> None:
        if not readable(self.channel.answer_fd, self.call_seconds):
            raise RunFailure("timeout", f"the model took over {self.call_seconds:g} s for one batch")
        status = self.channel.read_answer()
        if status is None:
            raise self._gone()
        if status is not Status.OK:
            raise RunFailure(_REASONS[status], KEPT_BACK if self._has_seen else self.channel.words())

    def _gone(self) -> RunFailure:
        """How a process that answers no more has ended; one that only broke off its channel is ended here."""
        code = self.process.exit_code(EXIT_SECONDS)
        self.end()
        if self._has_seen and code != -signal.SIGKILL:
            return RunFailure("crash", KEPT_BACK)
        if code is None:
            return RunFailure("crash", "the model's process broke off its channel to the judge")
        if code >= 0:
            return RunFailure("crash", f"the model's process ended with exit code {code}")
        told = f"the model's process was ended by {signal.Signals(-code).name}"
        return Killed(told) if -code == signal.SIGKILL else RunFailure("crash", told)
