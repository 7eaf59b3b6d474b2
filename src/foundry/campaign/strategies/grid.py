"""Every word by itself, in the order of the families, again on each new frontier. May not: learn."""

from __future__ import annotations

from typing import final

from foundry.campaign.strategies import Proposal, Scene, Strategy


@final
class Grid(Strategy):
    name = "grid"

    def ask(self, scene: Scene, n: int) -> list[Proposal]:
        found: list[Proposal] = []
        for word in scene.words:
            if len(found) == n:
                break
            if scene.is_new(word):
                found.append(Proposal(word, self.name, "next in the grid"))
        return found


def make() -> Grid:
    return Grid()
