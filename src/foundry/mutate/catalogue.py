"""What can be mutated, for people and agents. May not: import torch."""

from __future__ import annotations

from typing import Any

from foundry.mutate.families import FAMILIES


def catalogue() -> list[dict[str, Any]]:
    """Of each family: `family`, `short`, `what`, `also` (what else may be given), `variants` of `name` and `what`."""
    return [
        {
            "family": family.name,
            "short": family.short,
            "what": family.what,
            "also": family.also(),
            "variants": [{"name": name, "what": what} for name, what in family.named().items()],
        }
        for family in FAMILIES.values()
    ]
