"""Suffix splicing: which process sees which text, so that no process sees what followed a cut of its own.

Each window is real in one of the sealed processes, its home, and spliced in all the others: kept up to a cut, then
continued with other real text. Losses up to the cut must be the home's. A contestant that used the future would have
to know, in its home, where another process cuts; and in the other process, a text that is nowhere in it: suffixes are
taken only from windows at home there. One more process sees every window whole, in another order.

Chance of missing a model that uses the future at a share s of positions: (1 - s)^cuts, for one judging.
Shapes: N windows, T positions, M sealed processes, R rows of a batch. May not: see logits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from foundry.judge.windows import Windows

CUTS = 512
MAX_ROUNDS = 4
ORDER_SEED = 0x5EA1  # the scoring order is the same each time, so that an honest score is repeatable bit by bit


def rounds_for(windows: int) -> int:
    """How often each window is spliced, so that there are about `CUTS` cuts; the forward passes cost this plus 2."""
    return max(1, min(MAX_ROUNDS, round(CUTS / windows), windows - 1))


@dataclass(frozen=True)
class Plan:
    """home_N: the sealed process where a window is real. kept_MN: how many of its inputs are its own, per process."""

    windows: Windows
    home: np.ndarray
    kept: np.ndarray
    texts: tuple[np.ndarray, ...]
    """What each process sees, [N, T]: M sealed ones, then the one that sees every window whole."""
    orders: tuple[np.ndarray, np.ndarray]
    """In which order the sealed processes see the windows, and the other one."""

    @property
    def sealed(self) -> int:
        return len(self.kept)

    @property
    def cuts(self) -> int:
        return int(self.kept.size - self.home.size)

    @property
    def stands_for(self) -> np.ndarray:
        """[N], for how many positions of its window one cut was drawn: those that have a successor to replace."""
        return _cuttable(self.windows) / (self.sealed - 1)

    def batches(self, process: int, rows: int) -> Iterator[np.ndarray]:
        """Windows [rows] of each batch of a process.

        The last batch is filled up with windows that came before, so that its shape is that of all others.
        """
        order = self.orders[process == self.sealed]
        for start in range(0, len(self.home), rows):
            yield np.take(order, range(start, start + rows), mode="wrap")


def make_plan(windows: Windows, rounds: int, secret: int) -> Plan:
    """Homes, cuts, suffixes and orders, drawn from `secret`; each window is spliced `rounds` times."""
    rng = np.random.default_rng(secret)
    count = len(windows.lengths)
    sealed = rounds + 1
    home = rng.permutation(np.arange(count) % sealed)
    kept = rng.integers(1, _cuttable(windows) + 1, (sealed, count))
    kept[home, np.arange(count)] = windows.lengths
    texts = [_spliced(windows, kept[process], home == process, rng) for process in range(sealed)]
    texts.append(_spliced(windows, windows.lengths, np.ones(count, bool), rng))
    orders = (np.random.default_rng(ORDER_SEED).permutation(count), rng.permutation(count))
    return Plan(windows, home, kept, tuple(texts), orders)


def _cuttable(windows: Windows) -> np.ndarray:
    """[N], positions that are predicted and have another after them in the window."""
    return np.minimum(windows.lengths, windows.inputs.shape[1] - 1)


def _spliced(windows: Windows, kept: np.ndarray, donors: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """inputs [N, T], each window's own up to `kept`, then `donors` text that doesn't begin as it goes on."""
    real_donors = windows.real & donors[:, None]
    pool = windows.inputs[real_donors]
    true_next = np.take_along_axis(windows.targets, kept[:, None] - 1, axis=1)[:, 0]
    begin = rng.integers(0, len(pool), len(kept))
    for _ in range(64):  # a token is rarely so common that a few draws don't find another
        same = pool[begin] == true_next
        if not same.any():
            break
        begin[same] = rng.integers(0, len(pool), int(same.sum()))
    position = np.arange(windows.inputs.shape[1])
    suffix = pool[(begin[:, None] + position - kept[:, None]) % len(pool)]
    return np.where(position < kept[:, None], windows.inputs, suffix)
