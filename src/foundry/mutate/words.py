"""A command line's words as mutations: `norm rmsnorm layernorm`, `norm`, `lr:2e-3 a:b+c:d`. May not: read a recipe."""

from __future__ import annotations

from collections.abc import Sequence

from foundry.core.errors import RequestError
from foundry.mutate.families import FAMILIES
from foundry.mutate.mutation import parse


def expand(words: Sequence[str]) -> list[str]:
    """Mutations, each spelled `family:variant+…`, in order and without repetition.

    A word with a colon is a whole mutation. A bare family starts a list of its variants; with none following, all of
    its named variants are meant. Raises RequestError.
    """
    found: list[str] = []
    family, variants = "", 0

    def close() -> None:
        if family and not variants:
            found.extend(f"{family}:{variant}" for variant in FAMILIES[family].named())

    for word in words:
        if ":" in word:
            found.append(str(parse(word)))
        elif word in FAMILIES and not (family and word in FAMILIES[family].named()):
            close()
            family, variants = word, 0
        elif family:
            found.append(str(parse(family, word)))
            variants += 1
        else:
            raise RequestError("mutate.unknown_family", word, f"no family '{word}'", got=word, choices=list(FAMILIES))
    close()
    return list(dict.fromkeys(found))
