"""What training costs: counted from structure where the model can be built here, as measured in a sandbox where not."""

from __future__ import annotations

from foundry import model
from foundry.core.errors import WorkError
from foundry.recipe import Recipe

_measured: dict[tuple[str, int], int] = {}
"""(recipe's fingerprint, vocabulary) → FLOPs per token: content and nothing else, so that it never goes stale."""
_counted: dict[tuple[str, int], int] = {}
"""The same of models that were counted here; the latest."""
MOST_COUNTED = 256


def flops_per_token(recipe: Recipe, vocab_size: int) -> int:
    """Training FLOPs per token. Raises WorkError for workspace code that nobody has measured yet."""
    if not recipe.model.sealed:
        return _count(recipe, vocab_size)
    known = _measured.get((recipe.fingerprint, vocab_size))
    if known is None:
        raise WorkError("run.not_measured", "model", "the FLOPs of its workspace code have not been measured yet")
    return known


def _count(recipe: Recipe, vocab_size: int) -> int:
    """A campaign asks some ten times for each candidate, and building the model takes milliseconds."""
    key = recipe.fingerprint, vocab_size
    if key not in _counted:
        if len(_counted) >= MOST_COUNTED:
            _counted.clear()
        _counted[key] = model.flops_per_token(recipe.model, vocab_size)
    return _counted[key]


def learn(recipe: Recipe, vocab_size: int, flops: int) -> None:
    _measured[recipe.fingerprint, vocab_size] = flops


def is_known(recipe: Recipe, vocab_size: int) -> bool:
    return not recipe.model.sealed or (recipe.fingerprint, vocab_size) in _measured
