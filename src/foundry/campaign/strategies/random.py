"""One word or a stack of two or three from different families, uniformly. May not: learn."""

from __future__ import annotations

from typing import final

from foundry.campaign.strategies import Proposal, Scene, Strategy
from foundry.mutate import family_of, stack_of

TRIES = 20
DEPTHS = (1, 1, 2, 3)
"""How many words are stacked, each as likely."""


@final
class Random(Strategy):
    name = "random"

    def ask(self, scene: Scene, n: int) -> list[Proposal]:
        found: dict[str, Proposal] = {}
        for _ in range(TRIES * n if scene.words else 0):
            if len(found) == n:
                break
            drawn = scene.rng.sample(range(len(scene.words)), min(scene.rng.choice(DEPTHS), len(scene.words)))
            by_family = {family_of(scene.words[i]): scene.words[i] for i in drawn}
            word = stack_of(by_family.values())
            if word not in found and scene.is_new(word):
                found[word] = Proposal(word, self.name, "drawn at random")
        return list(found.values())


def make() -> Random:
    return Random()
