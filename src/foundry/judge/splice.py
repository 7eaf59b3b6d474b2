"""Suffix splicing: which process sees which text, so that no process sees what followed a cut of its own.

Each window is real in one of the sealed processes, its home, and spliced in all the others: kept up to a cut, then
continued with other real text. Losses up to the cut must be the home's. A contestant that used the future would have
to know, in its home, where another process cuts; and in the other process, a text that is nowhere in it: suffixes are
taken only from windows at home there. One more process sees every window whole, in another order.

Where every part is one that ships, which its contract holds to be causal, a sample is enough: one process sees all
windows as they are, a second some of them spliced, a third the same ones whole in another order.

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
SAMPLE = 8
"""Of parts that ship, whose causality their contract holds, one window of so many is spliced."""
FEWEST_SAMPLED = 2
ORDER_SEED = 0x5EA1  # the scoring order is the same each time, so that an honest score is repeatable bit by bit


def rounds_for(windows: int) -> int:
    """How often each window is spliced, so that there are about `CUTS` cuts; the forward passes cost this plus 2."""
    return max(1, min(MAX_ROUNDS, round(CUTS / windows), windows - 1))


@dataclass(frozen=True)
class Plan:
    """home_N: the sealed process where a window is real. kept_MN: how many of its inputs are its own, per process; 0
    where it isn't shown."""

    windows: Windows
    home: np.ndarray
    kept: np.ndarray
    texts: tuple[np.ndarray, ...]
    """What each process sees, [N, T]: M sealed ones, then the one that sees windows whole."""
    orders: tuple[np.ndarray, ...]
    """Which windows each process sees, in which order."""

    @property
    def sealed(self) -> int:
        return len(self.kept)

    @property
    def cut(self) -> np.ndarray:
        """[M, N], where a window is spliced."""
        return (self.kept > 0) & (self.home != np.arange(self.sealed)[:, None])

    @property
    def cuts(self) -> int:
        return int(self.cut.sum())

    @property
    def stands_for(self) -> np.ndarray:
        """[N], for how many positions one cut of a window was drawn: those that have a successor to replace, of as
        many windows as the spliced ones stand for."""
        return _cuttable(self.windows) * (len(self.home) / self.cuts)

    def batches(self, process: int, rows: int) -> Iterator[np.ndarray]:
        """Windows [rows] of each batch of a process.

        The last batch is filled up with windows that came before, so that its shape is that of all others.
        """
        order = self.orders[process]
        for start in range(0, len(order), rows):
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
    return Plan(windows, home, kept, tuple(texts), (*[_scoring_order(count)] * sealed, rng.permutation(count)))


def make_sampled_plan(windows: Windows, secret: int) -> Plan:
    """Every window real in the first process, a `SAMPLE`th of them, drawn from `secret`, spliced in another."""
    rng = np.random.default_rng(secret)
    count = len(windows.lengths)
    drawn = rng.permutation(count)[: min(count - 1, max(FEWEST_SAMPLED, count // SAMPLE))]
    is_drawn = np.isin(np.arange(count), drawn)
    kept = np.stack([windows.lengths, rng.integers(1, _cuttable(windows) + 1) * is_drawn])
    spliced = _spliced(windows, np.maximum(kept[1], 1), ~is_drawn, rng)
    order = _scoring_order(count)
    return Plan(
        windows,
        np.zeros(count, int),
        kept,
        (windows.inputs, spliced, windows.inputs),
        (order, order[is_drawn[order]], drawn),
    )


def _scoring_order(count: int) -> np.ndarray:
    return np.random.default_rng(ORDER_SEED).permutation(count)


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
