"""Fair means a declared currency: how many tokens each arm gets. May not: look at any score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast, get_args

from foundry.core.errors import RequestError
from foundry.judge.verdict import Match
from foundry.model import flops_per_token
from foundry.recipe import Recipe

CURRENCIES = get_args(Match)


@dataclass(frozen=True)
class Arm:
    """A recipe and the tokens that it may train on in one comparison."""

    name: str
    recipe: Recipe
    tokens: int
    flops_per_token: int

    @property
    def flops(self) -> int:
        return self.tokens * self.flops_per_token


def choose(asked: str | None, baseline_flops: int, candidate_flops: int) -> Match:
    """The currency asked for; else FLOPs when the arms' FLOPs per token differ, tokens when they don't."""
    if asked is None:
        return "tokens" if baseline_flops == candidate_flops else "flops"
    if asked not in CURRENCIES:
        raise RequestError("match.unknown", "--match", f"no currency '{asked}'", got=asked, choices=CURRENCIES)
    return cast(Match, asked)


def arm(recipe: Recipe, vocab_size: int, tokens: int, name: str = "") -> Arm:
    """An arm of whole steps within `tokens`."""
    whole = recipe.steps(tokens) * recipe.step_tokens
    return Arm(name or recipe.name, recipe, whole, flops_per_token(recipe.model, vocab_size))


def matched(baseline: Arm, candidate: Recipe, vocab_size: int, currency: Match, name: str = "") -> Arm:
    """The candidate's arm with as much of the currency as the baseline has, never more than whole steps of it."""
    own = flops_per_token(candidate.model, vocab_size)
    tokens = baseline.tokens if currency == "tokens" else baseline.flops // own
    if tokens < candidate.step_tokens:
        raise RequestError(
            "match.too_small",
            "budget.tokens",
            f"the baseline's budget buys {tokens} tokens of '{name or candidate.name}', less than one step of "
            f"{candidate.step_tokens}",
            hint="raise the baseline's budget or lower the candidate's batch_size × context",
        )
    return arm(candidate, vocab_size, tokens, name)
