"""Stacks of words by what each has given: linear Thompson sampling (Agrawal & Goyal 2013) over words and families.

A gain is taken for the sum of what the words of a stack bring, so one trial of a stack teaches about each of them. A
draw from what is believed of all words ranks them; the best of different families are stacked, as deep as has paid so
far. What was never tried counts as its family does, with room for hope. May not: propose a recipe that was tried
(novelty is by fingerprint, not by name), or remember more than a window of trials.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import final

import numpy as np

from foundry.campaign.strategies import Proposal, Scene, Strategy, Trial
from foundry.mutate import family_of, stack_of, words_of

REMEMBERED = 512
"""Trials that the beliefs rest on."""
DEEPEST = 4
DRAWS = 6
"""Draws from the beliefs for one proposal, before stacks are drawn more widely."""
WIDER_TRIES = 60
FULL_NOISE, SHORT_NOISE = 0.5, 2.0
"""Standard deviation of a gain on the full budget, and on a rung, about the sum; in units of a typical gain."""
FAMILY_SHARE = 0.5
"""Standard deviation of what a family's words have in common, of what is each word's own."""
FADE = 0.98
"""What a trial's word on depth is worth after the next one: a frontier that has moved pays other depths."""
FAILURE = -3.0
"""What a failure counts as, in units of a typical gain."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One trial: how each word was changed (-1: it made way), and the gain in bits per byte; None: it failed."""

    changed: Mapping[str, float]
    gain: float | None
    full: bool


@final
class Evolve(Strategy):
    name = "evolve"

    def __init__(self) -> None:
        self._seen: deque[Seen] = deque(maxlen=REMEMBERED)
        self._held: dict[str, str] = {}
        """Family → the word of it that the frontier took."""
        self._depths = {depth: [0.0, 0.0] for depth in range(1, DEEPEST + 1)}
        """Depth → trials and what they gained, losses as nothing; both fading."""

    def ask(self, scene: Scene, n: int) -> list[Proposal]:
        useful = [word for word in scene.words if scene.changes(word)]
        found: dict[str, Proposal] = {}
        if not useful:
            return []
        self._held = {name: word for name, word in self._held.items() if not scene.changes(word)}
        unit = self._unit()
        beliefs = Beliefs(useful, self._seen, self._held, unit)
        for _ in range(n):
            word = self._stack(beliefs, scene, unit, found)
            if word is None:
                break
            found[word] = Proposal(word, self.name, f"expected {beliefs.expected(word):+.4f} bpb")
        return list(found.values())

    def _unit(self) -> float:
        """A typical gain or loss, in bits per byte."""
        sizes = sorted(abs(each.gain) for each in self._seen if each.gain is not None)
        return sizes[len(sizes) // 2] or 1.0 if sizes else 1.0

    def _stack(self, beliefs: Beliefs, scene: Scene, unit: float, found: Mapping[str, Proposal]) -> str | None:
        """The best new stack by a draw; where all near ones were tried, any; None: nothing is new."""
        for _ in range(DRAWS):
            ranked = beliefs.draw(scene.rng)
            depth = self._depth(scene.rng, unit)
            for deep in (depth, *range(depth - 1, 0, -1), *range(depth + 1, DEEPEST + 1)):
                word = stack_of(ranked[:deep])
                if word not in found and scene.is_new(word):
                    return word
        words = beliefs.words
        single = next((w for w in scene.rng.sample(words, len(words)) if w not in found and scene.is_new(w)), None)
        if single is not None:
            return single
        for tried in range(WIDER_TRIES):
            by_family = {family_of(w): w for w in scene.rng.sample(words, min(len(words), 2 + tried // 10))}
            word = stack_of(by_family.values())
            if word not in found and scene.is_new(word):
                return word
        return None

    def _depth(self, rng: Random, unit: float) -> int:
        def drawn(depth: int) -> float:
            n, total = self._depths[depth]
            return (total + unit) / (n + 1) + unit * rng.gauss(0.0, 1.0) / math.sqrt(n + 1)

        return max(self._depths, key=drawn)

    def tell(self, trial: Trial) -> None:
        gain = trial["gain"]
        if gain is None and trial["status"] != "failed":
            return
        words = words_of(trial["word"])
        changed = {self._held[name]: -1.0 for name in map(family_of, words) if name in self._held}
        self._seen.append(Seen({**changed, **dict.fromkeys(words, 1.0)}, gain, trial["share"] == 1.0))
        for record in self._depths.values():
            record[:] = FADE * record[0], FADE * record[1]
        record = self._depths[min(len(words), DEEPEST)]
        record[:] = record[0] + 1.0, record[1] + max(gain or 0.0, 0.0)
        if trial["status"] == "accepted":
            self._held |= {family_of(word): word for word in words}


class Beliefs:
    """What each word is thought to bring on the frontier, in bits per byte: a normal posterior of a linear model.

    Columns are words, then families; a word's row has its own column, its family's, and less of the word that it
    would replace. May not: see a score.
    """

    def __init__(self, words: list[str], seen: deque[Seen], held: Mapping[str, str], unit: float) -> None:
        self.words = words
        known = dict.fromkeys([*words, *held.values(), *(word for each in seen for word in each.changed)])
        self._column = {word: i for i, word in enumerate(known)}
        self._family = {name: i for i, name in enumerate(dict.fromkeys(map(family_of, known)), len(known))}
        prior = np.array([unit**2] * len(known) + [(FAMILY_SHARE * unit) ** 2] * len(self._family))
        rows = np.array([self._row(each.changed) for each in seen]).reshape(-1, len(prior))
        worst = FAILURE * unit  # of what a word can do to a score, a loss of ten units says no more
        gains = np.array([worst if each.gain is None else max(each.gain, worst) for each in seen])
        weights = np.array([1.0 / (unit * (FULL_NOISE if each.full else SHORT_NOISE)) ** 2 for each in seen])
        precision = np.diag(1.0 / prior) + (rows * weights[:, None]).T @ rows
        self._root = np.linalg.inv(np.linalg.cholesky(precision)).T  # of the covariance
        self._mean = self._root @ (self._root.T @ (rows.T @ (weights * gains)))
        self._rows = np.array(
            [
                self._row({word: 1.0} | ({held[name]: -1.0} if (name := family_of(word)) in held else {}))
                for word in words
            ]
        )
        self._expected = dict(zip(words, self._rows @ self._mean, strict=True))

    def _row(self, changed: Mapping[str, float]) -> np.ndarray:
        row = np.zeros(len(self._column) + len(self._family))
        for word, amount in changed.items():
            row[self._column[word]] += amount
            row[self._family[family_of(word)]] += amount
        return row

    def expected(self, stack: str) -> float:
        return float(sum(self._expected.get(word, 0.0) for word in words_of(stack)))

    def draw(self, rng: Random) -> list[str]:
        """The best word of each family that gains by one draw from the beliefs, the best first; one at least."""
        chance = np.array([rng.gauss(0.0, 1.0) for _ in self._mean])
        values = self._rows @ (self._mean + self._root @ chance)
        best: dict[str, str] = {}
        for i in np.argsort(-values, kind="stable"):
            if best and values[i] <= 0.0:
                break
            best.setdefault(family_of(self.words[int(i)]), self.words[int(i)])
        return list(best.values())


def make() -> Evolve:
    return Evolve()
