"""The default: stacks near the best so far, by joint draws from what all scores say (search.py).

By itself it draws at random, which is how a campaign begins. May not: learn.
"""

from __future__ import annotations

from typing import final

from foundry.campaign.search import drawn
from foundry.campaign.strategies import Proposal, Scene, Strategy

TRIES = 20


@final
class Bayes(Strategy):
    name = "bayes"
    roams = True

    def ask(self, scene: Scene, n: int) -> list[Proposal]:
        found: dict[str, Proposal] = {}
        for _ in range(TRIES * n if scene.words else 0):
            if len(found) == n:
                break
            word = drawn(scene.words, scene.rng)
            if word not in found and scene.is_new(word):
                found[word] = Proposal(word, self.name, "drawn at random")
        return list(found.values())


def make() -> Bayes:
    return Bayes()
