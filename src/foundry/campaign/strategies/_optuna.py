"""What the strategies on Optuna share: the import with its error, and families as parameters of a study. May not: be
imported before one of them is asked for.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Sequence
from typing import Any

from foundry.core.errors import RequestError
from foundry.mutate import family_of

KEEP = "keep"
"""The choice that leaves a family as the frontier has it."""
REMEMBERED = 200
"""Trials that a study is told: so many bound the time of an ask, whatever the campaign's length."""


def optuna(strategy: str, needs: Sequence[str] = ("optuna",)) -> Any:
    """The library, quiet. Raises RequestError, with the mend, where something that `strategy` needs isn't installed."""
    for package in needs:
        if importlib.util.find_spec(package) is None:
            message = f"'{strategy}' needs the package {package}"
            hint = "pip install 'foundry-train[optuna]', or --strategy evolve"
            raise RequestError("strategy.not_installed", "--strategy", message, got=strategy, hint=hint)
    import optuna as library

    library.logging.set_verbosity(logging.WARNING)
    return library


def choices(words: Sequence[str]) -> dict[str, list[str]]:
    """Family → its words, and `keep` first."""
    found: dict[str, list[str]] = {}
    for word in words:
        found.setdefault(family_of(word), [KEEP]).append(word)
    return found
