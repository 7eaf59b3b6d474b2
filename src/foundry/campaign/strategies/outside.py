"""Nothing of its own: a campaign tries what `foundry propose` queued, and is then over. May not: propose."""

from __future__ import annotations

from typing import final

from foundry.campaign.strategies import Proposal, Scene, Strategy


@final
class Outside(Strategy):
    name = "outside"

    def ask(self, scene: Scene, n: int) -> list[Proposal]:
        return []


def make() -> Outside:
    return Outside()
