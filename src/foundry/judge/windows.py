"""Judged text as windows: which token is predicted where, so that every byte is predicted exactly once.

Shapes: N windows, T positions of a window. May not: see a model.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from foundry.core.errors import WorkError
from foundry.data.eval_split import FEWEST_WINDOWS


class Stretch(Protocol):
    """ids [n + 1], the first only a condition of the others; `bytes` is what the n others stand for."""

    @property
    def ids(self) -> np.ndarray: ...
    @property
    def bytes(self) -> int: ...


@dataclass(frozen=True)
class Windows:
    """inputs_NT and targets_NT, int64; only the first lengths_N of a window's positions are real, the rest are 0."""

    inputs: np.ndarray
    targets: np.ndarray
    lengths: np.ndarray
    bytes: int

    @property
    def real(self) -> np.ndarray:
        """[N, T], true where there is something to predict."""
        return np.arange(self.inputs.shape[1]) < self.lengths[:, None]


def cut_windows(stretches: Iterable[Stretch], context: int, vocab_size: int) -> Windows:
    """Consecutive windows of each stretch: inputs s[i:i+T], targets s[i+1:i+T+1]. Raises WorkError for unfit text."""
    inputs, targets, lengths, total_bytes = [], [], [], 0
    for stretch in stretches:
        ids = np.asarray(stretch.ids, np.int64)
        total_bytes += int(stretch.bytes)
        for start in range(0, len(ids) - 1, context):
            piece = ids[start : start + context + 1]
            lengths.append(len(piece) - 1)
            inputs.append(_padded(piece[:-1], context))
            targets.append(_padded(piece[1:], context))
    if len(inputs) < FEWEST_WINDOWS or total_bytes <= 0:
        hint = "judge more bytes, or use a shorter context"
        message = f"{len(inputs)} windows; the probes need {FEWEST_WINDOWS}"
        raise WorkError("judge.too_little_text", message=message, hint=hint)
    windows = Windows(np.stack(inputs), np.stack(targets), np.array(lengths), total_bytes)
    if windows.inputs.max() >= vocab_size or windows.targets.max() >= vocab_size:
        raise WorkError("judge.other_vocabulary", message=f"judged text has ids beyond the vocabulary of {vocab_size}")
    return windows


def _padded(piece: np.ndarray, length: int) -> np.ndarray:
    return np.pad(piece, (0, length - len(piece)))
