"""Whether a candidate's workspace code may know the text: by what its recorded sources and values carry beyond the
champion's. May not: let anything through; only block.
"""

from __future__ import annotations

import json

from foundry.compare.match import Arm
from foundry.compare.session import Lab
from foundry.judge.knowledge import carried, knowledge_guard
from foundry.recipe import Recipe
from foundry.stats.verdict import Guard


def knowledge_guard_of(lab: Lab, arms: tuple[Arm, Arm]) -> Guard:
    """Of a candidate with workspace code."""
    known, new = (_recorded(lab, arm.recipe) for arm in arms)
    values = [json.dumps({**arm.recipe.to_dict(), "name": ""}, sort_keys=True) for arm in arms]
    return knowledge_guard(carried(sorted(new - known), values[1], values[0]))


def _recorded(lab: Lab, recipe: Recipe) -> set[str]:
    """The texts of its workspace code, as they run."""
    row = lab.ledger.recipes.get(recipe.fingerprint)
    return {source["text"] for source in json.loads(row["sources"]).values()} if row is not None else set()
