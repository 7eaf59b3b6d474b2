"""What can be mutated, for people and agents. May not: import torch."""

from __future__ import annotations

from foundry.documents.recipes import Catalogue, Family, Variant
from foundry.mutate.families import FAMILIES


def catalogue() -> Catalogue:
    """Every family with its named variants."""
    return Catalogue(
        families=tuple(
            Family(
                family=family.name,
                short=family.short,
                what=family.what,
                also=family.also(),
                variants=tuple(Variant(name=name, what=what) for name, what in family.named().items()),
            )
            for family in FAMILIES.values()
        )
    )
