"""The score: bits per byte by plain cross-entropy of raw logits, corrected for what was gained by seeing the future.

Every window is computed where it is real, and once or more where its true continuation is absent. Logits up to the cut
must be the same, and a pass in another order must give the same losses; what differs is a failure and never a score.

Differences that rounding explains are forgiven, but not what they gained: the score is the plain one plus, for the
losses at the cuts, how much they are lower beside the true future than without it, extrapolated to all positions (the
difference estimator of survey sampling: Cochran 1977, ch. 7). Its expectation over the secret cuts is the score of
predictions that each are made without the true future; where logits are the same bit by bit it is the plain score.

A loss is the float32 log-softmax of float32 logits (3 times faster than in float64, and within 1e-6 nats of it);
losses are summed in float64. Shapes: n positions of a slice, V vocabulary, T positions of a window. May not: trust the
contestant, import its code.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
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
    """How far rounding may move a logit before a cut, and a token's loss in another order."""

    logit: float
    nats: float


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
    """Largest change of a logit before a cut; 0 means bit by bit."""
    order_gap_nats: float
    """Largest change of a token's loss in the other order."""


@dataclass(frozen=True)
class _Piece:
    """Positions [begin, end) of a window, in a row of the batch; `place` is where they begin in the slice."""

    row: int
    window: int
    begin: int
    end: int
    place: int


class Judging:
    """One scoring of one contestant, seated once for each text of the plan, and once more as a witness."""

    def __init__(
        self, plan: Plan, sealed: Sequence[Seat], other: Seat, witness: Seat, rows: int, tolerance: Tolerance
    ) -> None:
        self.plan, self.sealed, self.other, self.witness = plan, sealed, other, witness
        self.rows, self.tolerance = rows, tolerance
        self.context = plan.windows.inputs.shape[1]
        self.losses = np.zeros(plan.windows.inputs.shape)
        self.losses_again = np.zeros(plan.windows.inputs.shape)
        self.splice_gap = 0.0
        self.leaked_nats = 0.0

    def run(self, tell: Callable[..., None]) -> Score:
        """Raises RunFailure. `tell` hears after each batch how many windows are done."""
        windows = self.plan.windows
        for done, (batch, batch_again) in enumerate(self.plan.batches(self.rows), 1):
            for text, seat in zip(self.plan.texts, self.sealed, strict=False):
                seat.forward(text[batch])
            self.other.forward(self.plan.texts[-1][batch_again])
            for start in range(0, self.rows * self.context, self.other.channel.slice_positions):
                self._score_sealed(batch, start)
                self._score_other(batch_again, start)
            tell(windows=min(done * self.rows, len(windows.lengths)))
        order_gap = np.abs(self.losses - self.losses_again)
        if order_gap.max() > self.tolerance.nats:
            raise RunFailure(
                "invalid",
                f"a token's loss changes by {order_gap.max():.3g} nats with the order of windows: the model's output "
                "depends on other rows of the batch, on earlier calls, or on chance",
            )
        return Score(
            bpb=(math.fsum(self.losses[windows.real]) + self.leaked_nats) / math.log(2) / windows.bytes,
            bytes=windows.bytes,
            tokens=int(windows.lengths.sum()),
            forward_seconds=sum(seat.forward_seconds for seat in (*self.sealed, self.other)),
            cuts=self.plan.cuts,
            splice_gap=self.splice_gap,
            order_gap_nats=float(order_gap.max()),
        )

    def _score_sealed(self, batch: np.ndarray, start: int) -> None:
        """Score what each window's home gives, after comparing it with what the others give before their cuts."""
        plan = self.plan
        given = [self._read(seat, start) for seat in self.sealed]
        for piece in self._pieces(batch, start):
            home, window = plan.home[piece.window], piece.window
            real = given[home][piece.place :]
            self._score(self.losses, piece, real)
            for process, logits in enumerate(given):
                before_cut = min(piece.end, plan.kept[process, window]) - piece.begin
                if process != home and before_cut > 0:
                    spliced = logits[piece.place :][:before_cut]
                    if not torch.equal(spliced, real[:before_cut]):
                        self._forgive(batch, process, piece, spliced, real[:before_cut])

    def _score_other(self, batch: np.ndarray, start: int) -> None:
        logits = self._read(self.other, start)
        for piece in self._pieces(batch, start):
            self._score(self.losses_again, piece, logits[piece.place :])

    def _pieces(self, batch: np.ndarray, start: int) -> Iterator[_Piece]:
        """What a slice that starts at `start`, counted row by row, has of each row's window."""
        stop = min(start + self.other.channel.slice_positions, self.rows * self.context)
        first = start
        while (here := start) < stop:
            row, begin = divmod(here, self.context)
            start = min(stop, here + self.context - begin)
            yield _Piece(row, int(batch[row]), begin, begin + start - here, here - first)

    def _read(self, seat: Seat, start: int) -> Tensor:
        """Logits of a slice [n, V], all finite."""
        count = min(seat.channel.slice_positions, self.rows * self.context - start)
        logits = seat.slice(start, count)
        low, high = torch.aminmax(logits)
        if not (math.isfinite(low) and math.isfinite(high)):
            raise RunFailure("nan", "a logit is not a finite number")
        return logits

    def _score(self, losses: np.ndarray, piece: _Piece, logits: Tensor) -> None:
        """Put the losses, in nats, of what is to be predicted in a piece in their places."""
        end = min(piece.end, self.plan.windows.lengths[piece.window])
        if end > piece.begin:
            losses[piece.window, piece.begin : end] = self._nats(piece.window, piece.begin, logits[: end - piece.begin])

    def _nats(self, window: int, begin: int, logits: Tensor) -> np.ndarray:
        """Losses [n], float64, of the positions from `begin` on."""
        targets = torch.from_numpy(self.plan.windows.targets[window, begin : begin + len(logits)])
        nats = F.cross_entropy(logits, targets, reduction="none").double().numpy()
        if not np.isfinite(nats).all():
            raise RunFailure("nan", "logits so far apart that a token's loss is infinite")
        return nats

    def _forgive(self, batch: np.ndarray, process: int, piece: _Piece, spliced: Tensor, real: Tensor) -> None:
        """Logits before a cut differ: take back what that gained, or raise RunFailure when it is no rounding."""
        gaps = (spliced - real).abs().amax(-1)
        self.splice_gap = max(self.splice_gap, float(gaps.max()))
        if self.splice_gap > self.tolerance.logit:
            at = int(gaps.argmax())
            raise self._explained(batch, process, piece, at, spliced[at], float(gaps[at]))
        cut = int(self.plan.kept[process, piece.window]) - 1
        if piece.begin <= cut < piece.end:
            with_future, without = (self._nats(piece.window, cut, logits[-1:]) for logits in (real, spliced))
            self.leaked_nats += float(without[0] - with_future[0]) * float(self.plan.stands_for[piece.window])

    def _explained(
        self, batch: np.ndarray, process: int, piece: _Piece, at: int, seen: Tensor, gap: float
    ) -> RunFailure:
        """Why logits changed that should not have: the witness, which has seen nothing yet, is shown the batch."""
        row, window, position = piece.row, piece.window, piece.begin + at
        text = self.plan.texts[process][batch]
        if self._witness_differs(text, row, position, seen):
            return RunFailure("invalid", "the same batch gives other logits in a fresh process: the model keeps "
                              "something between calls, or draws at random when it is evaluated")  # fmt: skip
        others = self.plan.texts[self.plan.home[window]][batch]
        others[row] = text[row]
        if self._witness_differs(others, row, position, seen):
            return RunFailure("leak", f"logits of one row change by {gap:.3g} when only other rows of the batch change")
        cut = int(self.plan.kept[process, window])
        return RunFailure("leak", f"logits at position {position} change by {gap:.3g} when only the tokens from "
                          f"position {cut} on are replaced: the model sees the future")  # fmt: skip

    def _witness_differs(self, ids: np.ndarray, row: int, position: int, seen: Tensor) -> bool:
        self.witness.forward(ids)
        logits = self.witness.slice(row * self.context + position, 1)[0]
        return not bool((logits - seen).abs().max() <= self.tolerance.logit)
