"""What is tried next and what is the best so far, by what is believed of all recipes. Pure; may not: run anything.

Recipes that were tried and stacks near the best are weighed by joint draws from the belief (Thompson 1933): each draw
asks for its best. So what is unsure and may be good is tried, and what looks good is tried again on other seeds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from random import Random
from typing import NamedTuple, final

import numpy as np

from foundry.campaign.belief import Address, Belief, changed
from foundry.campaign.environment import Point
from foundry.campaign.policy import Policy
from foundry.campaign.state import State
from foundry.mutate import family_of, stack_of

SHORTLIST = 64
"""Of the tried, those that look best are weighed."""
BASES = 3
"""Stacks are built on so many of those that look best, and on the champion."""
DEEPEST = 3
REGRET_DRAWS = 32


class Stack(NamedTuple):
    """A recipe that wasn't tried: `word`, applied to `base`."""

    base: Point
    word: str
    address: Address


@final
class Search:
    """One look. The champion has a score; words: what may be proposed."""

    def __init__(self, state: State, belief: Belief, words: Sequence[str], policy: Policy, rng: Random) -> None:
        self.state, self.words, self.policy, self.rng = state, words, policy, rng
        self.belief = belief
        points = state.eligible
        expected, _ = self.belief.of([state.known[point][0] for point in points], joint=False)
        order = np.argsort(expected, kind="stable")[:SHORTLIST]
        held = {state.champion, state.frontier}
        self.points = [*(p for p in points if p in held), *(points[i] for i in order if points[i] not in held)]
        self.addresses = [state.known[point][0] for point in self.points]
        self.mean, self.cov = self.belief.of(self.addresses)
        self._weighed: tuple[tuple[Address, ...], tuple[np.ndarray, np.ndarray]] | None = None
        """The addresses that were drawn of last, and what their draws are made of."""

    def gain(self, point: Point, over: Point) -> tuple[float, float]:
        """The expected gain of one over another, in bits per byte, and its standard error."""
        i, j = self.points.index(point), self.points.index(over)
        variance = self.cov[i, i] + self.cov[j, j] - 2 * self.cov[i, j]
        return float(self.mean[j] - self.mean[i]), math.sqrt(max(float(variance), 1e-18))

    def frontier(self) -> tuple[Point, float]:
        """The best so far, and its expected gain over the champion. It stays what it was for the sake of a gain that
        may be none; one that is in the court's disfavour, or has failed, gives way to the champion."""
        held = self.state.frontier if self.state.frontier in self.points else self.state.champion
        best = self.points[int(self.mean.argmin())]
        gain, error = self.gain(best, held)
        if best != held and gain > self.policy.move_z * error:
            held = best
        return held, self.gain(held, self.state.champion)[0]

    def stacks(self) -> list[Stack]:
        """One to three words on what looks best, or on the champion; none that was tried."""
        best = [self.points[i] for i in np.argsort(self.mean, kind="stable")[:BASES]]
        bases = [*best, self.state.champion]
        known = set(self.state.points)
        found: list[Stack] = []
        for _ in range(self.policy.pool if self.words else 0):
            base = self.rng.choice(bases)
            word = drawn(self.words, self.rng)
            address = changed(self.state.known[base][0], word)
            if address not in known:
                known.add(address)
                found.append(Stack(base, word, address))
        return found

    def wanted(self, stacks: Sequence[Stack]) -> Iterator[Point | Stack]:
        """What each draw finds best, the same more than once maybe; at most as many as are weighed."""
        options: list[Point | Stack] = [*self.points, *stacks]
        draws = self._draws(stacks, len(options), self.policy.temper)
        return (options[int(i)] for i in draws.argmin(axis=1))

    def regret(self, stacks: Sequence[Stack]) -> float:
        """What is expected to be better than the frontier yet, in bits per byte."""
        draws = self._draws(stacks, REGRET_DRAWS)
        return float((draws[:, self.points.index(self.state.frontier)] - draws.min(axis=1)).mean())

    def _draws(self, stacks: Sequence[Stack], n: int, temper: float = 1.0) -> np.ndarray:
        addresses = (*self.addresses, *(stack.address for stack in stacks))
        if self._weighed is None or self._weighed[0] != addresses:
            self._weighed = addresses, self.belief.spread(addresses)
        mean, root = self._weighed[1]
        rng = np.random.default_rng(self.rng.getrandbits(64))
        return mean + temper * rng.standard_normal((n, len(mean))) @ root.T


def believe(state: State, words: Sequence[str], policy: Policy) -> Belief:
    """By the newest scores."""
    return Belief(list(state.observations)[-policy.believed :], len({family_of(word) for word in words}))


def drawn(words: Sequence[str], rng: Random) -> str:
    """A stack of one to three words of different families."""
    count, by_family = rng.randint(1, DEEPEST), dict[str, str]()
    for i in rng.sample(range(len(words)), len(words)):
        by_family.setdefault(family_of(words[i]), words[i])
        if len(by_family) == count:
            break
    return stack_of(by_family.values())
