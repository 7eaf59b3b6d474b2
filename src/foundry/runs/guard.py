"""Under which conditions workspace code runs: the sandbox tier that is asked for, and what its processes are given.

May not: start anything, or go below the tier that is asked for.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from foundry.judge import sandbox
from foundry.recipe import Recipe
from foundry.runs.ledger import Ledger
from foundry.runs.sources import lay_out

WARM = "landlock"
"""The tier of processes that are forked warm: the default, because a colder one costs seconds a run."""


def configured_tier() -> str:
    """The weakest tier that workspace code may run in, by FOUNDRY_TIER."""
    return os.environ.get("FOUNDRY_TIER", WARM)


def used(found: sandbox.Tier, minimum: str) -> str:
    """The tier that code runs in on a machine with `found`: the warm one, or a better one where that is asked for."""
    if not found.at_least(WARM):
        return "none"
    return max(WARM, minimum, key=sandbox.TIERS.index)


@dataclass
class Guard:
    """minimum: the weakest tier that will do; found out when code is there to run."""

    ledger: Ledger
    minimum: str = field(default_factory=configured_tier)

    @cached_property
    def tier(self) -> str:
        """The tier that code runs in. Raises RequestError, which says how to get it, where this machine has less."""
        return used(sandbox.require(self.minimum), self.minimum)

    def training(self, recipe: Recipe, payload: dict[str, Any], memory_bytes: int) -> dict[str, Any]:
        """The payload of `supervised:train` around that of `train.worker`."""
        return {"train": payload, **self._inside(recipe), "memory_bytes": memory_bytes}

    def measuring(
        self, recipe: Recipe, vocab_size: int, folder: str, memory_bytes: int, seconds: float
    ) -> dict[str, Any]:
        """The payload of `supervised:measure`, which may take so many seconds."""
        asked = {"model": recipe.to_dict()["model"], "vocab_size": vocab_size, "folder": folder, "seconds": seconds}
        return {**asked, **self._inside(recipe), "memory_bytes": memory_bytes}

    def judging(self, recipe: Recipe, payload: dict[str, Any]) -> dict[str, Any]:
        """The payload of `supervised:judge` around that of `judge.worker`."""
        inside = self._inside(recipe)
        return {**payload, **inside, "admitted": self.tier == "none"}

    def _inside(self, recipe: Recipe) -> dict[str, Any]:
        return {"workspace": str(lay_out(self.ledger, recipe.fingerprint)), "tier": self.tier}
