"""What tests of the ledger share: recipes without a model behind them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from foundry.core.fingerprint import fingerprint
from foundry.ledger.ledger import Ledger

HERE = Path(__file__).parent


@dataclass(frozen=True)
class PlainRecipe:
    """As much of a recipe as the ledger reads, without the model's code behind it."""

    name: str = "plain"
    values: dict[str, Any] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.values)

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, **self.values}

    def sources(self) -> dict[str, str]:
        return {}


@dataclass(frozen=True)
class PlainSpec:
    """As much of a run's spec as the ledger reads."""

    recipe: PlainRecipe
    seed: int = 1
    budget_tokens: int = 1000
    data_hash: str = "d" * 32
    code: dict[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return fingerprint([self.recipe.fingerprint, self.seed, self.budget_tokens, self.data_hash])


def a_run(ledger: Ledger, seed: int = 1, **values: Any) -> str:
    """Record a run that is wanted; its id."""
    spec = PlainSpec(PlainRecipe(values=values), seed)
    ledger.runs.put(spec, judged_hash="j" * 32)  # type: ignore[arg-type]
    return spec.id


def a_recipe(ledger: Ledger, **values: Any) -> str:
    """Record a recipe; its fingerprint."""
    recipe = PlainRecipe(values=values)
    ledger.recipes.put(recipe)  # type: ignore[arg-type]
    return recipe.fingerprint


SCORE = {"bpb": 2.5, "bytes": 1000, "tokens": 400, "seconds": 0.1, "probes": {"future": 0.0}}
FACTS = {"train_loss": 1.5, "tokens": 1000, "flops": 1e9, "steps": 10, "seconds": 1.0, "device": "cpu"}
