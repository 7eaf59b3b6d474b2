"""Nothing of its own: a campaign on it tries what `foundry propose` has queued, and is over when that is tried. May not:
propose.
"""

from __future__ import annotations

from typing import final

from foundry.search.strategies import Proposal, Scene, Strategy


@final
class Outside(Strategy):
    name = "outside"

    def ask(self, scene: Scene, n: int) -> list[Proposal]:
        return []


def make() -> Outside:
    return Outside()
