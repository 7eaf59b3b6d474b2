"""Words by what they and their families have given so far, drawn as in Thompson sampling, and stacks of the good ones.

What was never tried counts as its family does, with room for hope, so that all of a small space is seen early. May
not: propose a recipe that was tried (novelty is by fingerprint, not by name).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

from foundry.search.strategies import Proposal, Scene, Strategy, Trial, family, parts

STACKED = 0.3
"""Share of the proposals that are stacks of two or three."""
DEEPEST = 3
STACK_TRIES = 40
BIAS = 8
"""A stack's words come from the best eighth, mostly, at first."""
FAILURE = -3.0
"""What a failure counts as, in units of a typical gain."""


@dataclass(slots=True)
class Record:
    """Gains seen, in bits per byte."""

    n: int = 0
    total: float = 0.0

    def add(self, gain: float) -> None:
        self.n += 1
        self.total += gain


@final
class Evolve(Strategy):
    name = "evolve"

    def __init__(self) -> None:
        self._words: dict[str, Record] = {}
        self._families: dict[str, Record] = {}
        self._size = 0.0
        self._sizes = 0

    def ask(self, scene: Scene, n: int) -> list[Proposal]:
        found: dict[str, Proposal] = {}
        unit = self._size / self._sizes if self._sizes else 1.0
        for _ in range(n):
            ranked = self._ranked(scene, unit)
            depth = scene.rng.randint(2, DEEPEST) if scene.rng.random() < STACKED else 1
            word = self._first_new(ranked, depth, scene, found) or self._first_new(ranked, 1, scene, found)
            word = word or self._first_new(ranked, 2, scene, found)
            if word is None:
                break
            record = self._words.get(word)
            why = f"gave {record.total / record.n:+.4f} bpb before" if record and record.n else "new"
            found[word] = Proposal(word, self.name, "a stack of what looks good" if "+" in word else why)
        return list(found.values())

    def _ranked(self, scene: Scene, unit: float) -> list[str]:
        """All words by a draw from what is believed of each."""
        nothing = Record()
        drawn: list[tuple[float, str]] = []
        for word in scene.words:
            kin, own = self._families.get(family(word), nothing), self._words.get(word, nothing)
            prior = kin.total / (kin.n + 2)
            mean = (prior + own.total) / (1 + own.n)
            drawn.append((mean + unit * scene.rng.gauss(0.0, 1.0) / math.sqrt(1 + own.n), word))
        drawn.sort(reverse=True)
        return [word for _, word in drawn]

    def _first_new(self, ranked: list[str], depth: int, scene: Scene, found: dict[str, Proposal]) -> str | None:
        """The best single word that is new, or a new stack of `depth` words from different families, the better ones
        drawn more often."""
        if depth == 1:
            return next((word for word in ranked if word not in found and scene.is_new(word)), None)
        for tried in range(STACK_TRIES if ranked else 0):
            reach = len(ranked) / BIAS * (1 + tried / 8)  # wider and deeper, where what is near was tried
            deep = depth + tried // 16
            stack: dict[str, str] = {}
            for _ in range(3 * deep):
                word = ranked[int(scene.rng.expovariate(1.0) * reach) % len(ranked)]
                if len(stack) < deep and family(word) not in stack and scene.changes(word):
                    stack[family(word)] = word
            text = "+".join(sorted(stack.values()))
            if len(stack) > 1 and text not in found and scene.is_new(text):
                return text
        return None

    def tell(self, trial: Trial) -> None:
        gain = trial["gain"]
        if gain is not None:
            self._size, self._sizes = self._size + abs(gain), self._sizes + 1
        elif trial["status"] == "failed":
            gain = FAILURE * (self._size / self._sizes if self._sizes else 1.0)
        else:
            return
        words = parts(trial["word"])
        for word in words:
            self._words.setdefault(word, Record()).add(gain / len(words))
            self._families.setdefault(family(word), Record()).add(gain / len(words))


def make() -> Evolve:
    return Evolve()
