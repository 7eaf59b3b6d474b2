"""The code that trains a recipe: other code would train other weights. May not: import it.

Workspace code is no part of it: its source is in the recipe's own fingerprint.
"""

from __future__ import annotations

from typing import Any

from foundry.core.paths import get_path
from foundry.core.slots import SLOTS
from foundry.core.source_code import Code, code_of, is_file

_ROOTS = ("train/worker.py", "data/stream.py")
_ROOMS = ("train/", "model.py", "population.py", "modules/", "core/seeds.py")


def training_code(recipe: dict[str, Any]) -> Code:
    """Of a recipe's sections `model` and `train` as plain data: the loop, the model, the way of its batches, the parts
    that are named, and torch."""
    slots = [slot for slot in SLOTS if slot.section in ("model", "train")]
    named = [f"{slot.relative}/{get_path(recipe, slot.at)['kind']}.py" for slot in slots]
    return code_of((*_ROOTS, *filter(is_file, named)), _ROOMS, libraries=("torch",))
