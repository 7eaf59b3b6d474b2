"""Recipe files as `train` takes them, for a process that may not import the parts' code: one JSON list on stdout of
recipes with every default written out, or the error of the first that is none. May not: train, or write.
"""

from __future__ import annotations

import json
import sys

from foundry.core.errors import FoundryError
from foundry.recipe import Recipe

try:
    recipes = [Recipe.load(path) for path in sys.argv[1:]]
    found = [{**recipe.to_dict(), **({"sources": recipe.sources()} if recipe.sources() else {})} for recipe in recipes]
except FoundryError as error:
    found = error.plain()
sys.stdout.write(json.dumps(found))
