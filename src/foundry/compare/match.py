"""Fair means a declared currency: how many tokens each arm gets. May not: look at any score."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, cast, get_args

from foundry.core.errors import RequestError
from foundry.execute.result import RunResult
from foundry.recipe import Recipe
from foundry.recipe.costs import flops_per_token
from foundry.stats.verdict import Cost, Match

CURRENCIES = get_args(Match)
NOTICEABLE = 1.1  # a share of another currency by which arms must differ before a verdict is said to hang on it


@dataclass(frozen=True)
class Arm:
    """A recipe and the tokens that it may train on in one comparison."""

    name: str
    recipe: Recipe
    tokens: int
    flops_per_token: int
    calibration: dict[str, Any] | None = None
    """Of a candidate matched in seconds: the timing that its tokens follow from."""
    spent: Cost = field(default_factory=Cost)
    """What finding this arm's settings cost (compare/tune.py); charged to it."""
    due_tokens: float = 0.0
    """What `tokens` are the nearest whole steps of: what the track's reference compute is worth in this recipe's
    tokens. Budgets are matched to this and not to what it was rounded to, or compute would drift from champion to
    champion. 0: `tokens` themselves."""

    confined: bool = False
    """Whether it is trained and judged as workspace code is, whatever it is made of: what two arms spend can then be
    compared."""

    @property
    def due(self) -> float:
        return self.due_tokens or float(self.tokens)

    @property
    def reference(self) -> dict[str, float]:
        """For the record: the reference in this recipe's tokens and in FLOPs, and the steps that the arm has beyond."""
        steps = (self.tokens - self.due) / self.recipe.step_tokens
        return {"tokens": self.due, "flops": self.due * self.flops_per_token, "steps_beyond": steps}

    @property
    def flops(self) -> int:
        return self.tokens * self.flops_per_token

    @property
    def steps(self) -> int:
        return self.recipe.steps(self.tokens)


def check(asked: str | None) -> None:
    """Raises RequestError for a currency that there isn't."""
    if asked is not None and asked not in CURRENCIES:
        raise RequestError("match.unknown", "--match", f"no currency '{asked}'", got=asked, choices=CURRENCIES)


def choose(asked: str | None, baseline_flops: int, candidate_flops: int) -> Match:
    """The currency asked for; else FLOPs when the arms' FLOPs per token differ, tokens when they don't."""
    check(asked)
    if asked is None:
        return "tokens" if baseline_flops == candidate_flops else "flops"
    return cast(Match, asked)


def arm(recipe: Recipe, vocab_size: int, tokens: int, name: str = "") -> Arm:
    """An arm of whole steps within `tokens`."""
    whole = recipe.steps(tokens) * recipe.step_tokens
    return Arm(name or recipe.name, recipe, whole, flops_per_token(recipe, vocab_size))


def as_champion(own: Arm, mark: dict[str, Any] | None, promoted: bool) -> Arm:
    """The champion's arm, matched to the track's reference: `mark`, the latest on record, which is the champion's own
    if it was `promoted` with it. The first champion has none, and is the reference; so is a recipe that a person put
    there, if its compute is more than half a step away from the reference."""
    if mark is None:
        return own
    due = mark["tokens"] if promoted else mark["flops"] / own.flops_per_token
    return replace(own, due_tokens=due) if abs(own.tokens - due) <= own.recipe.step_tokens / 2 else own


def matched(baseline: Arm, candidate: Recipe, vocab_size: int, currency: Match, name: str = "") -> Arm:
    """The candidate's arm with what the baseline is due in the currency, in the nearest whole steps.

    In seconds it has the baseline's tokens here: calibrate.py goes on from there. Raises RequestError.
    """
    own = flops_per_token(candidate, vocab_size)
    due = baseline.due * baseline.flops_per_token / own if currency == "flops" else baseline.due
    if round(due) < candidate.step_tokens:
        raise RequestError(
            "match.too_small",
            "budget.tokens",
            f"the baseline's budget buys {round(due)} tokens of '{name or candidate.name}', less than one step of "
            f"{candidate.step_tokens}",
            hint="raise the baseline's budget or lower the candidate's batch_size × context",
        )
    return Arm(name or candidate.name, candidate, whole_steps(candidate, due), own, due_tokens=due)


def whole_steps(recipe: Recipe, due_tokens: float) -> int:
    """The tokens of the nearest number of steps, at least one."""
    return max(1, round(due_tokens / recipe.step_tokens)) * recipe.step_tokens


def carrying(of: Arm) -> Arm:
    """The arm with its budget written into its recipe, so that what is promoted trains as it was judged."""
    if of.recipe.budget.tokens == of.tokens:
        return of
    return replace(of, recipe=Recipe.from_dict({**of.recipe.to_dict(), "budget": {"tokens": of.tokens}}))


def cost_of(runs: Iterable[RunResult]) -> Cost:
    """What the runs used, as their workers and the ledger say."""
    known = [run.facts for run in runs]
    return Cost(
        tokens=sum(facts.get("tokens") or 0 for facts in known),
        flops=sum(facts.get("flops") or 0 for facts in known),
        seconds=sum(facts.get("seconds") or 0.0 for facts in known),
        cpu_seconds=sum(facts.get("cpu_seconds") or 0.0 for facts in known),
        judged_cpu_seconds=sum(facts.get("judged_cpu_seconds") or 0.0 for facts in known),
    )


def used(baseline: Arm, candidate: Arm, run_seconds: tuple[float | None, float | None]) -> dict[str, float | None]:
    """What a run of the candidate uses of each currency, as a multiple of a run of the baseline."""
    ours, theirs = run_seconds
    return {
        "tokens": candidate.tokens / baseline.tokens,
        "flops": candidate.flops / baseline.flops,
        "seconds": theirs / ours if ours and theirs else None,
    }


def caveat(match: Match, better: bool, shares: dict[str, float | None]) -> str:
    """In which other currency the verdict might differ, in one sentence; "" when in none.

    A candidate that won with more of something might not have with as much of it; one that lost with less might win.
    """
    telling = {
        currency: share
        for currency, share in shares.items()
        if currency != match and share is not None and (share > NOTICEABLE if better else share < 1 / NOTICEABLE)
    }
    if not telling:
        return ""
    parts = " and ".join(f"{share:.2g} × the {_NAMES[currency]}" for currency, share in telling.items())
    return f"The candidate used {parts} of the baseline: matched in {' or '.join(telling)}, the verdict may differ."


_NAMES = {"tokens": "tokens", "flops": "FLOPs", "seconds": "seconds"}
