"""Under which conditions workspace code runs: the sandbox tier that is asked for, and what its processes are given.

May not: start anything, or go below the tier that is asked for.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from foundry.core.errors import RequestError
from foundry.judge import sandbox
from foundry.recipe import Recipe
from foundry.runs.ledger import Ledger
from foundry.runs.sources import lay_out

WARM = "landlock"
"""The tier of processes that are forked warm, as all of these are."""


def configured_tier() -> str:
    """The weakest tier that workspace code may run in, by FOUNDRY_TIER."""
    return os.environ.get("FOUNDRY_TIER", WARM)


@dataclass
class Guard:
    """minimum: the weakest tier that will do; found out when code is there to run."""

    ledger: Ledger
    minimum: str = field(default_factory=configured_tier)

    @cached_property
    def tier(self) -> str:
        """The tier that code runs in. Raises RequestError, which says how to get it, where this machine has less."""
        found = sandbox.require(self.minimum)
        if sandbox.TIERS.index(self.minimum) > sandbox.TIERS.index(WARM):
            message = f"runs are confined by '{WARM}', which is below '{self.minimum}'"
            raise RequestError("sandbox.too_weak", "tier", message, got=self.minimum, hint=f"FOUNDRY_TIER={WARM}")
        return WARM if found.at_least(WARM) else "none"

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
        return {**payload, **inside, "admitted": not inside["confined"]}

    def _inside(self, recipe: Recipe) -> dict[str, Any]:
        confined = self.tier != "none"
        return {"workspace": str(lay_out(self.ledger, recipe.fingerprint)), "confined": confined}
