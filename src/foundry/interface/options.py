"""The options that several commands share, said once; and the two ways of printing."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from foundry.core.errors import RequestError

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
