"""What a recipe with workspace code costs in FLOPs: counted once in a sandbox, kept in the ledger by its model.

May not: run code itself.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from foundry.core import places
from foundry.core.errors import LOST, BrokenCode
from foundry.execute.executor import Ended
from foundry.execute.failures import MAX_ATTEMPTS, failure, given_up, is_machines
from foundry.execute.result import Limits
from foundry.execute.untrusted.choose_tier import Guard
from foundry.ledger.ledger import Ledger
from foundry.recipe import Recipe, costs

Run = Callable[[str, str, dict[str, Any], Path], Ended]
"""(id, target, payload, log) → how the task ended."""


def measure(recipe: Recipe, vocab_size: int, ledger: Ledger, guard: Guard, limits: Limits, run: Run) -> None:
    """See to it that `costs.flops_per_token` knows the recipe. Raises what `Scheduler.measure` does."""
    if not recipe.sources():
        return
    guard.check(recipe)
    ledger.recipes.put(recipe)  # so that what is measured, and run later, is what was asked about
    if guard.tier and costs.is_known(recipe, vocab_size):
        return
    id = f"measure {costs.model_key(recipe)} {vocab_size}"
    flops = ledger.setting(id)
    if flops is None:
        folder = places.runs().absolute() / "measuring" / costs.model_key(recipe)
        seconds = 0.9 * min(limits.wall_seconds, limits.stall_seconds)  # before the pool ends it
        payload = guard.measuring(recipe, vocab_size, str(folder), limits.memory_bytes, seconds)
        ended = Ended(id, reason=LOST)
        for _ in range(MAX_ATTEMPTS):
            ended = run(id, "foundry.execute.untrusted.harness:measure", payload, folder.with_suffix(".txt"))
            if not is_machines(ended):
                break
        if ended.reason == LOST:
            raise given_up(recipe.name, ended)
        if ended.result is None:
            raise BrokenCode(recipe.name, failure(ended).reason, ended.detail)
        flops = ended.result["flops_per_token"]
        ledger.keep_setting(id, flops)
    costs.learn(recipe, vocab_size, flops)
