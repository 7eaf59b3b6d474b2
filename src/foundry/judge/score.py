"""The score: bits per byte by plain cross-entropy of raw logits, corrected for what was gained by seeing the future.

Every window is computed where it is real, and once or more where its true continuation is absent. The losses of the
tokens up to the cut must be the same, and so must all of them in another order; what differs is a failure and never a
score. Contestants are asked one after the other, and each is ended before the next is shown its first token: what
one has seen, none can tell another.

Differences that rounding explains are forgiven, but not what they gained: the score is the plain one plus, for the
losses at the cuts, how much they are lower beside the true future than without it, extrapolated to all positions (the
difference estimator of survey sampling: Cochran 1977, ch. 7). Its expectation over the secret cuts is the score of
predictions that each are made without the true future; where losses are the same bit by bit it is the plain score.

A loss is the float32 log-softmax of float32 logits (3 times faster than in float64, and within 1e-6 nats of it);
losses are summed in float64. Shapes: n positions of a slice, V vocabulary, N windows of T positions, P contestants: the
sealed ones, then the one that sees windows whole in another order. May not: trust the contestant, import its code.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from foundry.core.errors import RunFailure
from foundry.judge.model_client import Seat
from foundry.judge.splice import Plan


@dataclass(frozen=True)
class Tolerance:
    """How far rounding may move a token's loss beside another continuation, and in another order; in nats."""

    cut: float
    order: float


# Attention of every built-in kind and scans agree bit by bit (measured on CPU in both precisions, 1 and 2 threads);
# convolution by FFT, whose rounding depends on the suffix, moves logits of about 10 by 1e-5, in bf16 by 0.06.
TOLERANCES = {"fp32": Tolerance(5e-4, 2e-3), "bf16": Tolerance(0.25, 0.5)}


@dataclass(frozen=True)
class Score:
    """What one judging measured."""

    bpb: float
    bytes: int
    tokens: int
    forward_seconds: float
    """Spent in the contestant's forward passes, loading left out."""
    cuts: int
    splice_gap: float
    """Largest change of a token's loss before a cut, in nats, rounded up to a power of ten; 0 means bit by bit."""
    order_gap_nats: float
    """Largest change of a token's loss in the other order, likewise. The score pays for it at every token."""
    cpu_seconds: float = 0.0
    """Of the contestant's processes, loading included, as the kernel counted it."""


class Judging:
    """One scoring of one contestant, seated once for each text of the plan, and once more as a witness."""

    def __init__(
        self,
        plan: Plan,
        seats: Sequence[Seat],
        witness: Seat,
        rows: int,
        tolerance: Tolerance,
        made_up: bool = False,
    ) -> None:
        """made_up: the text is nobody's secret, and failures say in numbers what was seen."""
        self.plan, self.seats, self.witness, self.made_up = plan, seats, witness, made_up
        self.rows, self.tolerance = rows, tolerance
        self.context = plan.windows.inputs.shape[1]
        count = len(plan.windows.lengths)
        is_whole = np.isin(np.arange(count), plan.orders[plan.sealed])
        self.kept_PN = np.vstack([plan.kept, plan.windows.lengths * is_whole])
        self.losses_PNT = np.zeros((len(seats), count, self.context), np.float32)
        self.splice_gap = self.order_gap = self.leaked_nats = 0.0

    def run(self, tell: Callable[..., None]) -> Score:
        """Raises RunFailure. `tell` hears after each batch how much is done, counted in windows."""
        count, done, all_of_it = len(self.plan.windows.lengths), 0, sum(map(len, self.plan.orders))
        for process, seat in enumerate(self.seats):
            for batch in self.plan.batches(process, self.rows):
                seat.forward(self.plan.texts[process][batch])
                self.note(process, batch)
                done += self.rows
                tell(windows=min(count * done // all_of_it, count))
            seat.end()  # before the next one is shown anything
            self.compare(process)
        return self.score()

    def note(self, process: int, batch: np.ndarray) -> None:
        """Keep the losses of the last batch's tokens, as far as their text is the window's own."""
        seat, due = self.seats[process], self.kept_PN[process, batch]
        targets = torch.from_numpy(self.plan.windows.targets[batch].reshape(-1))
        is_due = torch.from_numpy((np.arange(self.context) < due[:, None]).reshape(-1))
        losses = torch.zeros(len(targets))
        for start in range(0, len(targets), seat.channel.slice_positions):
            here = slice(start, start + seat.channel.slice_positions)
            logits, wanted = self._read(seat, start), is_due[here]
            if not wanted.all():
                logits = logits[wanted]
            losses[here][wanted] = _nats(logits, targets[here][wanted])
        self.losses_PNT[process, batch] = losses.reshape(len(batch), -1).numpy()

    def compare(self, process: int) -> None:
        """A contestant's losses with those of all before it, wherever both saw the window's own text up to there."""
        seen_N = self.kept_PN[process]
        whole = process == self.plan.sealed
        for other in range(process):
            both_NT = np.arange(self.context) < np.minimum(seen_N, self.kept_PN[other])[:, None]
            gaps_NT = np.abs(self.losses_PNT[process] - self.losses_PNT[other]) * both_NT
            if whole:
                is_home = self.plan.home == other
                self.order_gap = max(self.order_gap, float(gaps_NT[is_home].max(initial=0.0)))
                continue
            self.splice_gap = max(self.splice_gap, float(gaps_NT.max()))
            if self.splice_gap > self.tolerance.cut:
                window, position = np.unravel_index(int(gaps_NT.argmax()), gaps_NT.shape)
                raise self._explained(process, other, int(window), int(position))
        if self.order_gap > self.tolerance.order:
            by = self._in_numbers(f" by {self.order_gap:.3g} nats")
            raise RunFailure(
                "invalid",
                f"a token's loss changes{by} with the order of windows: the model's output "
                "depends on other rows of the batch, on earlier calls, or on chance",
            )

    def score(self) -> Score:
        windows, every = self.plan.windows, np.arange(len(self.plan.home))
        real_NT = self.losses_PNT[self.plan.home, every]
        for process, (kept_N, is_cut_N) in enumerate(zip(self.plan.kept, self.plan.cut, strict=True)):
            gained = self.losses_PNT[process, every, kept_N - 1] - real_NT[every, kept_N - 1].astype(float)
            self.leaked_nats += float((gained * self.plan.stands_for)[is_cut_N].sum())
        tokens = int(windows.lengths.sum())
        # what earlier calls have changed is no prediction of this text: at most so much was gained by it
        nats = math.fsum(real_NT[windows.real]) + self.leaked_nats + self.order_gap * tokens
        return Score(
            bpb=nats / math.log(2) / windows.bytes,
            bytes=windows.bytes,
            tokens=tokens,
            forward_seconds=sum(seat.forward_seconds for seat in self.seats),
            cpu_seconds=sum(seat.process.cpu_seconds for seat in self.seats),
            cuts=self.plan.cuts,
            splice_gap=_coarse(self.splice_gap),
            order_gap_nats=_coarse(self.order_gap),
        )

    def _read(self, seat: Seat, start: int) -> Tensor:
        """Logits of a slice [n, V], all finite."""
        count = min(seat.channel.slice_positions, self.rows * self.context - start)
        logits = seat.slice(start, count)
        low, high = torch.aminmax(logits)
        if not (math.isfinite(low) and math.isfinite(high)):
            raise RunFailure("nan", "a logit is not a finite number")
        return logits

    def _explained(self, process: int, other: int, window: int, position: int) -> RunFailure:
        """Why a loss changed that should not have: the witness, which has seen nothing yet, is shown the batch. One
        that fails then clears nobody."""
        seen, by = self.losses_PNT[process, window, position], self._in_numbers(f" by {self.splice_gap:.3g} nats")
        *_, batch = (batch for batch in self.plan.batches(process, self.rows) if window in batch)
        row = int(np.flatnonzero(batch == window)[-1])
        text = self.plan.texts[process][batch]
        others = self.plan.texts[other][batch]
        others[row] = text[row]
        with contextlib.suppress(RunFailure):
            if self._witness_differs(text, row, window, position, seen):
                return RunFailure("invalid", "the same batch gives another loss in a fresh process: the model keeps "
                                  "something between calls, or draws at random when it is evaluated")  # fmt: skip
            if self._witness_differs(others, row, window, position, seen):
                return RunFailure("leak", f"a loss of one row changes{by} when only other rows change")
        cut = int(min(kept for kept in self.kept_PN[[process, other], window]))
        at, behind = self._in_numbers(f" at position {position}"), self._in_numbers(f" from position {cut} on")
        return RunFailure("leak", f"the loss{at} changes{by} when only later tokens{behind} are replaced: "
                          "the model sees the future")  # fmt: skip

    def _in_numbers(self, words: str) -> str:
        """Nothing where the text is a secret: the model's code has a say in them."""
        return words if self.made_up else ""

    def _witness_differs(self, ids: np.ndarray, row: int, window: int, position: int, seen: float) -> bool:
        self.witness.forward(ids)
        logits = self.witness.slice(row * self.context + position, 1)
        target = torch.from_numpy(self.plan.windows.targets[window, position : position + 1])
        return not abs(float(_nats(logits, target)) - seen) <= self.tolerance.cut


def _nats(logits: Tensor, targets: Tensor) -> Tensor:
    """Losses [n] of logits [n, V]."""
    nats = F.cross_entropy(logits, targets, reduction="none")
    if not nats.isfinite().all():
        raise RunFailure("nan", "logits so far apart that a token's loss is infinite")
    return nats


def _coarse(gap: float) -> float:
    """A power of ten that is no smaller: the model's code has a say in the digits."""
    return 10.0 ** math.ceil(math.log10(gap)) if gap else 0.0
