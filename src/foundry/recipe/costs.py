"""What training costs: counted from structure where the model can be built here, as measured in a sandbox where not."""

from __future__ import annotations

from foundry import model
from foundry.core.errors import WorkError
from foundry.core.fingerprint import fingerprint
from foundry.core.section import IDENTITY
from foundry.recipe import Recipe

_measured: dict[tuple[str, int], int] = {}
"""(model's key, vocabulary) → FLOPs per token: content and nothing else, so that it never goes stale."""
_counted: dict[tuple[str, int], int] = {}
"""The same of recipes that were counted here; the latest."""
MOST_COUNTED = 256


def model_key(recipe: Recipe) -> str:
    """Equal for recipes with one model, whatever their budget, data, learning rate or other part of the training."""
    code = {at: source for at, source in recipe.sources().items() if at.partition(".")[0] == "model"}
    return fingerprint([recipe.model.model_dump(mode="json", context=IDENTITY), code])


def flops_per_token(recipe: Recipe, vocab_size: int) -> int:
    """Training FLOPs per token. Raises WorkError for workspace code that nobody has measured yet."""
    if not recipe.model.sealed:
        return _count(recipe, vocab_size)
    known = _measured.get((model_key(recipe), vocab_size))
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
    _measured[model_key(recipe), vocab_size] = flops


def is_known(recipe: Recipe, vocab_size: int) -> bool:
    return not recipe.model.sealed or (model_key(recipe), vocab_size) in _measured
