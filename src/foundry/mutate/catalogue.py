"""What can be mutated, for people and agents. May not: import torch."""

from __future__ import annotations

from foundry.documents.recipes import Catalogue, Family, Variant
from foundry.mutate import family as mutate
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
                variants=tuple(_variant(family, name, what) for name, what in family.named().items()),
            )
            for family in FAMILIES.values()
        )
    )


def _variant(family: mutate.Family, name: str, what: str) -> Variant:
    """A part of the workspace is described by its author."""
    theirs = isinstance(family, mutate.PartFamily) and family.is_theirs(name)
    return Variant(name=name, what="" if theirs else what, says=what if theirs else "")
