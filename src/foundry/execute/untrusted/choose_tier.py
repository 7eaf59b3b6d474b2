"""Under which conditions workspace code runs: the sandbox tier that is asked for, and what its processes are given.

May not: start anything, or go below the tier that is asked for.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from foundry import sandbox
from foundry.core import places
from foundry.core.errors import RequestError
from foundry.data.corpus import open_source
from foundry.ledger.ledger import Ledger
from foundry.ledger.recorded_code import lay_out
from foundry.recipe import Recipe
from foundry.sandbox.reach import in_reach

WARM = "landlock"
"""The weakest tier that will do unless another is asked for, and the tier of processes that are forked warm."""


def asked_tier() -> str:
    """FOUNDRY_TIER: the tier that workspace code is to run in, and the weakest that will do; "" for the best."""
    return os.environ.get("FOUNDRY_TIER", "")


def tier_for(asked: str) -> str:
    """The tier that code runs in where `asked` is asked for. Raises RequestError where this machine has less."""
    found = sandbox.require(asked or WARM)
    if not found.at_least(WARM):
        return "none"
    return max(WARM, asked, key=sandbox.TIERS.index) if asked else found.name


@dataclass
class Guard:
    """What is asked for is looked for on the machine when code is there to run."""

    ledger: Ledger
    asked: str = field(default_factory=asked_tier)
    _out_of_reach: set[str] = field(default_factory=set)

    @cached_property
    def tier(self) -> str:
        """The tier that code runs in. Raises RequestError, which says how to get it, where this machine has less."""
        return tier_for(self.asked)

    def check(self, recipe: Recipe) -> None:
        """Raises RequestError for code whose judged text, or what it was prepared from, is where code can read it."""
        source = recipe.data.source
        if self.tier == "none" or source in self._out_of_reach:
            return
        try:
            files = tuple(open_source(source).files())
        except RequestError:  # it is gone since it was prepared
            files = ()
        if found := in_reach((*files, places.cache())):
            message = f"{found} can be read by what runs in a sandbox, so code can't be judged on {source}"
            hint = "keep the text, and FOUNDRY_CACHE, apart from Python, its packages and the system's libraries"
            raise RequestError("data.in_reach", "data.source", message, got=source, hint=hint)
        if files:
            self._out_of_reach.add(source)

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
        self.check(recipe)
        return {"workspace": str(lay_out(self.ledger, recipe.fingerprint)), "tier": self.tier}
