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
from foundry.judge.seat import Seat
from foundry.judge.splice import Plan

FLOOR_BPB = 0.3  # no language model is known to reach this on text that it has not seen
IMPLAUSIBLE_SHARE = 0.6  # of the reference's bits per byte


@dataclass(frozen=True)
class Tolerance:
    """How far rounding may move a logit before a cut, and a token's loss in another order."""

    logit: float
    nats: float


# Attention, convolution by shifts and scans agree bit by bit (measured on CPU in both precisions, 1 and 2 threads);
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
            for at in self._slices():
                self._score_sealed(batch, at)
                self._score_other(batch_again, at)
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

    def _slices(self) -> Iterator[np.ndarray]:
        """Positions [n] of a batch, counted row by row, that fit a channel together."""
        step = self.other.channel.slice_positions
        for start in range(0, self.rows * self.context, step):
            yield np.arange(start, min(start + step, self.rows * self.context))

    def _score_sealed(self, batch: np.ndarray, at: np.ndarray) -> None:
        """Score what each window's home gives, after comparing it with what the others give before their cuts."""
        window, position = batch[at // self.context], at % self.context
        given = [self._read(seat, at) for seat in self.sealed]
        home = self.plan.home[window]
        real = given[0].clone()
        for process in range(1, len(given)):
            here = torch.from_numpy(home == process)
            real[here] = given[process][here]
        losses = self._losses(real, window, position)
        for process, logits in enumerate(given):
            before_cut = (position < self.plan.kept[process, window]) & (home != process)
            differs = (logits != real).any(-1).numpy() & before_cut
            if differs.any():
                gaps = (logits[differs] - real[differs]).abs().amax(-1)
                self.splice_gap = max(self.splice_gap, float(gaps.max()))
                if self.splice_gap > self.tolerance.logit:
                    seen = np.flatnonzero(differs)[int(gaps.argmax())]
                    raise self._explained(batch, process, int(at[seen]), logits[seen], self.splice_gap)
                at_cut = differs & (position + 1 == self.plan.kept[process, window])
                without_future = self._losses(logits[at_cut], window[at_cut], position[at_cut])
                self.leaked_nats += float((without_future - losses[at_cut]) @ self.plan.stands_for[window[at_cut]])
        self.losses[window, position] = losses

    def _score_other(self, batch: np.ndarray, at: np.ndarray) -> None:
        window, position = batch[at // self.context], at % self.context
        self.losses_again[window, position] = self._losses(self._read(self.other, at), window, position)

    def _read(self, seat: Seat, at: np.ndarray) -> Tensor:
        logits = seat.slice(int(at[0]), len(at))
        low, high = torch.aminmax(logits)
        if not (math.isfinite(low) and math.isfinite(high)):
            raise RunFailure("nan", "a logit is not a finite number")
        return logits

    def _losses(self, logits: Tensor, window: np.ndarray, position: np.ndarray) -> np.ndarray:
        """Nats [n], float64; 0 where nothing is to be predicted."""
        targets = torch.from_numpy(self.plan.windows.targets[window, position])
        losses = F.cross_entropy(logits, targets, reduction="none").double().numpy()
        losses[position >= self.plan.windows.lengths[window]] = 0.0
        if not np.isfinite(losses).all():
            raise RunFailure("nan", "logits so far apart that a token's loss is infinite")
        return losses

    def _explained(self, batch: np.ndarray, process: int, at: int, logits: Tensor, gap: float) -> RunFailure:
        """Why logits changed that should not have: the witness, which has seen nothing yet, is shown the batch."""
        row, position = divmod(at, self.context)
        window = batch[row]
        text = self.plan.texts[process][batch]
        again = self._witnessed(text, at)
        if (again - logits).abs().max() > self.tolerance.logit:
            return RunFailure("invalid", "the same batch gives other logits in a fresh process: the model keeps "
                              "something between calls, or draws at random when it is evaluated")  # fmt: skip
        others = self.plan.texts[self.plan.home[window]][batch]
        others[row] = text[row]
        if (self._witnessed(others, at) - logits).abs().max() > self.tolerance.logit:
            return RunFailure("leak", f"logits of one row change by {gap:.3g} when only other rows of the batch change")
        cut = int(self.plan.kept[process, window])
        return RunFailure("leak", f"logits at position {position} change by {gap:.3g} when only the tokens from "
                          f"position {cut} on are replaced: the model sees the future")  # fmt: skip

    def _witnessed(self, ids: np.ndarray, at: int) -> Tensor:
        self.witness.forward(ids)
        return self.witness.slice(at, 1)[0]


def quarantine(bpb: float, reference_bpb: float | None) -> str:
    """Why a person should look before this score is believed; empty when nothing is odd about it."""
    if bpb < FLOOR_BPB:
        return f"{bpb:.4f} bits per byte is below {FLOOR_BPB}, which no model is known to reach on unseen text"
    if reference_bpb is not None and bpb < IMPLAUSIBLE_SHARE * reference_bpb:
        return f"{bpb:.4f} bits per byte is below {IMPLAUSIBLE_SHARE} of the reference's {reference_bpb:.4f}"
    return ""
