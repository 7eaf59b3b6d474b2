"""Recipe: all that determines a training run but its seed."""

from foundry.recipe.recipe import Budget, Recipe

__all__ = ["Budget", "Recipe"]
