"""The options that several commands share, said once; and the two ways of printing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from foundry.core.errors import RequestError

if TYPE_CHECKING:
    from foundry.judge.budget import Control as ErrorControl
    from foundry.search.budget import BudgetRules

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Jobs = Annotated[int, typer.Option("--jobs", "-j", help="Runs at once; 0: one a core (CPU), one (accelerator).")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
JudgedBytes = Annotated[int, typer.Option(help="Bytes of held-out text that a score is taken on.")]
WallSeconds = Annotated[float, typer.Option(help="Longest that one run may take, in seconds.")]
StallSeconds = Annotated[float, typer.Option(help="Longest that a run may go without a sign of life, in seconds.")]
MemoryGb = Annotated[float, typer.Option(help="Memory that one run may use, in GB; 0: an equal share.")]
Retry = Annotated[bool, typer.Option("--retry", help="Train again what crashed, hung or ran out of memory before.")]
Match = Annotated[
    str | None,
    typer.Option(help="What the arms get equally: tokens, flops or seconds. Default: flops when structure differs."),
]
Tune = Annotated[
    str | None,
    typer.Option(help="lr: give every arm the same small grid of learning rates, and compare each at its best."),
]
Control = Annotated[
    str | None,
    typer.Option(help="Error control of the first season: fdr (default), fwer or per-comparison."),
]
Rate = Annotated[float | None, typer.Option("--q", help="The error rate of the first season; 0.10.")]
BasePairs = Annotated[
    int | None, typer.Option("--max-pairs", help="Most pairs of an ordinary test of the first season; 12.")
]
Alpha = Annotated[float, typer.Option(help="Chance of a false verdict `better`, at most.")]
MaxPairs = Annotated[int, typer.Option(help="Most pairs of runs before the test ends undecided.")]
MinEffect = Annotated[float, typer.Option(help="Gain in bits per byte below which nothing counts as better.")]


def emit(document: dict[str, Any] | list[Any]) -> None:
    """One JSON document on stdout."""
    typer.echo(json.dumps(document, indent=2, allow_nan=False))


def seed_list(text: str) -> tuple[int, ...]:
    """`1,2,3` as numbers. Raises RequestError."""
    try:
        seeds = tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise RequestError("usage.seeds", "--seeds", "numbers with commas between", got=text) from None
    if seeds and (len(seeds) < 3 or len(set(seeds)) < len(seeds) or min(seeds) < 0):
        raise RequestError("usage.seeds", "--seeds", "at least three different numbers, none negative", got=text)
    return seeds


def budget_rules(control: str | None, q: float | None, base_pairs: int | None) -> BudgetRules:
    """The error budget's rules as asked for on the command line. Raises RequestError."""
    from foundry.search.budget import BudgetRules

    rules = BudgetRules(cast("ErrorControl | None", control), q, base_pairs)
    rules.within(None)  # says what is wrong before anything is trained
    return rules
