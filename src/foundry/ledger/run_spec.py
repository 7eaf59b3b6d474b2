"""What a run is: (recipe, seed, budget) on given data, by given code. Its id is its content. May not: say where or how
it runs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from foundry.core.errors import RequestError
from foundry.core.fingerprint import fingerprint
from foundry.core.source_code import Code
from foundry.recipe import Recipe
from foundry.recipe.costs import flops_per_token
from foundry.train.code import training_code


@dataclass(frozen=True)
class RunSpec:
    """One recipe trained once. `budget_tokens` may differ from the recipe's own (screening, other currencies);
    `data_hash` identifies training tokens and tokenizer. Raises RequestError for an impossible seed or budget."""

    recipe: Recipe
    seed: int
    budget_tokens: int
    data_hash: str

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**63:
            raise RequestError("run.bad_seed", "seed", "0 or more, and less than 2**63", got=self.seed)
        if self.budget_tokens < 1:
            raise RequestError("run.bad_budget", "budget_tokens", "at least 1", got=self.budget_tokens)

    @cached_property
    def id(self) -> str:
        """32 hex digits, equal for equal content in every process."""
        return fingerprint(
            {
                "recipe": self.recipe.fingerprint,
                "seed": self.seed,
                "budget_tokens": self.budget_tokens,
                "data_hash": self.data_hash,
                "code": self.code,
            }
        )

    @cached_property
    def code(self) -> Code:
        """What trains it: other code would train other weights."""
        return training_code(self.recipe.to_dict())

    def flops_per_token(self, vocab_size: int) -> int:
        """Training FLOPs per token of this run's model."""
        return flops_per_token(self.recipe, vocab_size)

    def to_json(self) -> dict[str, Any]:
        return {
            "run": self.id,
            "recipe": self.recipe.fingerprint,
            "seed": self.seed,
            "budget_tokens": self.budget_tokens,
            "data_hash": self.data_hash,
            "code": fingerprint(self.code),
        }
