"""The options that several commands share, said once; and the two ways of printing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from foundry.core.errors import RequestError

if TYPE_CHECKING:
    from foundry.judge.budget import Control as ErrorControl
    from foundry.search.budget import BudgetRules

LARGEST_SEED = 2**63 - 1


def real(low: float, high: float, help: str, *names: str) -> Any:
    """An option that takes a number in [low, high]; nan is in no range."""
    return typer.Option(*names, min=low, max=high, help=help)


Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Progress = Annotated[
    Literal["plain", "json", "none"] | None,
    typer.Option(help="How progress is told on stderr. Default: plain; with --json, a JSON object a line."),
]
Jobs = Annotated[
    int, typer.Option("--jobs", "-j", min=0, max=4096, help="Runs at once; 0: one a core (CPU), one (accelerator).")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
JudgedBytes = Annotated[
    int, typer.Option(min=1024, max=1 << 40, help="Bytes of held-out text that a score is taken on.")
]
WallSeconds = Annotated[float, real(1, 1e9, "Longest that one run may take, in seconds.")]
StallSeconds = Annotated[float, real(1, 1e9, "Longest that a run may go without a sign of life, in seconds.")]
MemoryGb = Annotated[float, real(0, 1e6, "Memory that one run may use, in GB; 0: an equal share.")]
Retry = Annotated[bool, typer.Option("--retry", help="Train again what crashed, hung or ran out of memory before.")]
Seed = Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="The seed of what is random.")]
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
Rate = Annotated[float | None, real(1e-6, 0.999, "The error rate of the first season; 0.10.", "--q")]
BasePairs = Annotated[
    int | None,
    typer.Option("--max-pairs", min=3, max=60, help="Most pairs of an ordinary test of the first season; 12."),
]
Alpha = Annotated[float, real(1e-6, 0.999, "Chance of a false verdict `better`, at most.")]
MaxPairs = Annotated[int, typer.Option(min=3, max=60, help="Most pairs of runs before the test ends undecided.")]
MinEffect = Annotated[float, real(0, 100, "Gain in bits per byte below which nothing counts as better.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=1_000_000, help="How many, newest first.")]


def seed_list(text: str) -> tuple[int, ...]:
    """`1,2,3` as numbers. Raises RequestError."""
    try:
        seeds = tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise RequestError("usage.seeds", "--seeds", "numbers with commas between", got=text) from None
    if seeds and not (
        3 <= len(seeds) <= 60 and len(set(seeds)) == len(seeds) and 0 <= min(seeds) <= max(seeds) < 2**63
    ):
        message = f"3 to 60 different numbers, each from 0 to {LARGEST_SEED}"
        raise RequestError("usage.seeds", "--seeds", message, got=text[:200])
    return seeds


def budget_rules(control: str | None, q: float | None, base_pairs: int | None) -> BudgetRules:
    """The error budget's rules as asked for on the command line. Raises RequestError."""
    from foundry.search.budget import BudgetRules

    rules = BudgetRules(cast("ErrorControl | None", control), q, base_pairs)
    rules.within(None)  # says what is wrong before anything is trained
    return rules
