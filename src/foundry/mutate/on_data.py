"""The mutation that trains a recipe on other data. May not: prepare it."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from foundry.core import places
from foundry.mutate.mutation import file_name, parse

if TYPE_CHECKING:  # importing a recipe imports torch
    from foundry.data.config import DataConfig
    from foundry.recipe import Recipe


def on_data(recipe: Recipe, data: DataConfig) -> str:
    """The words that make `recipe` train on `data`; empty where it does already. A recipe's filter stays its own."""
    new, old = (config.model_dump(mode="json", exclude={"filter"}) for config in (data, recipe.data))
    # JSON is YAML; quoted, whatever is in a path is part of the value
    words = [f"set:data.{name}={json.dumps(value, ensure_ascii=False)}" for name, value in new.items()]
    return "+".join(word for word, name in zip(words, new, strict=True) if new[name] != old[name])


def commands_to_train(baseline: Path, data: DataConfig) -> list[str]:
    """What to type to train `baseline` on `data`; where there is no such file, how its recipe names the data."""
    from foundry.recipe import Recipe

    if not baseline.exists():
        return [f"a recipe's `data.source: {data.source}` trains on it"]
    mutation = on_data(Recipe.load(baseline), data)
    if not mutation:
        return [f"foundry train {shlex.quote(str(baseline))}"]
    written = places.experiments() / file_name(parse(mutation))
    at = f" --baseline {shlex.quote(str(baseline))}" if baseline != places.baseline() else ""
    return [f"foundry mutate {shlex.quote(mutation)}{at}", f"foundry train {shlex.quote(str(written))}"]
