"""What people read of one run, recipe, comparison or promotion: its document in sentences. May not: compute."""

from __future__ import annotations

from typing import Any

from foundry.documents import comparison as comparisons
from foundry.documents import runs
from foundry.interface.report import comparison, diff, flops, gained, number, plain, seconds
from foundry.interface.terminal import console, table
from foundry.ledger.folders import RULE

BARS = "▁▂▃▄▅▆▇█"


def run(document: runs.RunShown) -> None:
    name = document.name or document.recipe[:12]
    console.print(f"Run {document.run} of {name}, seed {document.seed}: {document.status}")
    if document.reason:
        console.print(f"  {document.reason}: {document.detail}")
    for score in document.scores:
        console.print(f"  {number(score.bpb)} bits per byte on {score.bytes:,} bytes of {score.split}")
    if document.tokens is not None:
        used = f"{document.tokens:,} tokens, {flops(document.flops or 0)}FLOP, {seconds(document.seconds)}"
        console.print(f"  trained on {used} on {document.device}; asked for {document.budget_tokens:,} tokens")
    if curve := document.curve:
        first, last = curve[0], curve[-1]
        losses = f"{first.loss:.3f} at step {first.step}, {last.loss:.3f} at step {last.step}"
        console.print(f"  training loss {bars([point['loss'] for point in curve])}  {losses}")
    changed = document.code.changed
    others = "not on record" if changed is None else f"other than today's: {', '.join(changed)}"
    console.print(f"  code: {'as today' if changed == () else others}")
    if not document.files and document.status in ("done", "failed"):
        console.print(f"  no files: {RULE}")
    for file in document.files:
        console.print(f"  {file.bytes:>12,} bytes  {document.folder}/{file.file}")
    short = document.run[:12]
    console.print(f"Next: foundry show {document.recipe[:12]} · foundry sample {short} · foundry show {short} --json")


def recipe(document: runs.RecipeShown) -> None:
    console.print(f"Recipe {document.recipe}, {document.name or 'without a name'}")
    for path, value in leaves(document.content):
        console.print(f"  {path}: {plain(value)}")
    for at, source in document.sources.items():
        console.print(f"  code of {at}: {source.file}")
    rows = [
        (run.run[:12], str(run.seed)[-8:], f"{run.budget_tokens:,}",
         number(run.val_bpb) or number(run.certification_bpb), run.status)
        for run in document.runs
    ]  # fmt: skip
    if rows:
        table("\nIts runs, newest first", ("run", "seed", "tokens", "bits per byte", ""), rows)
    for each in document.comparisons:
        console.print(f"Its {each.kind}: foundry show {each.comparison[:12]}")


def comparison_shown(document: comparisons.ComparisonShown) -> None:
    console.print(f"Comparison {document.comparison}, to {document.comparison_kind}")
    comparison(document)


def promotion(document: runs.PromotionShown) -> None:
    console.print(f"Promotion {document.promotion} of {document.track}: {document.promotion_kind}")
    if document.mutation:
        console.print(f"  {document.mutation}{gained(document)}")
    if document.reverted_unix:
        console.print("  taken back since")
    if sealed := document.record.test_bpb:
        console.print(f"  on the sealed test split: {' → '.join(number(score) for score in sealed)} bits per byte")
    before = document.from_recipe
    console.print(f"  from {before[:12]} to {document.to_recipe[:12]}" if before else "  the first of its line")
    diff(document)
    if document.comparison:
        ids = document.comparison[:12], document.promotion[:12]
        console.print(f"Next: foundry show {ids[0]} · foundry reproduce {ids[1]}")


def bars(values: list[float]) -> str:
    """A line of bars from the lowest to the highest."""
    low, high = min(values), max(values)
    scale = (len(BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(BARS[round((value - low) * scale)] for value in values)


def leaves(values: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Dotted path and value of all that is written in nested plain data."""
    found: list[tuple[str, Any]] = []
    for key, value in values.items():
        path = f"{prefix}{key}"
        found += leaves(value, f"{path}.") if isinstance(value, dict) and value else [(path, value)]
    return found
