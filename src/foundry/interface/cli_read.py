"""Verbs that only read: log, show, diff, lineage, verify, kinds. They import no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foundry.core import places
from foundry.core.errors import RequestError
from foundry.documents import runs
from foundry.documents.budget import Budget, Verified
from foundry.documents.comparison import ComparisonShown
from foundry.documents.recipes import Kinds
from foundry.documents.runs import Diff, Lineage, Log
from foundry.interface import options

BASELINE = options.BASELINE


def register(app: typer.Typer) -> None:
    for verb in (log, show, diff, lineage, verify, budget, kinds):
        app.command(verb.__name__, rich_help_panel="Look")(options.command(verb))


def log(
    limit: options.Limit = 20,
    offset: options.Offset = 0,
    status: Annotated[str | None, typer.Option(help="queued, running, trained, done or failed.")] = None,
    stale: Annotated[bool, typer.Option("--stale", help="Runs of other code than today's.")] = False,
) -> Log:
    """The latest runs.

    Examples: foundry log --limit 50 --status failed · foundry log --stale
    """
    from foundry.ledger import queries

    rows = queries.log(limit=limit + 1, offset=offset, status=status, stale=stale)
    filtered = stale or status is not None
    return Log(runs=tuple(rows[:limit]), more=len(rows) > limit, weights=queries.weights(), filtered=filtered)


def show(
    name: Annotated[str, typer.Argument(help="Id (or its beginning) of a run, recipe, comparison or promotion.")],
) -> runs.RunShown | runs.RecipeShown | ComparisonShown | runs.PromotionShown:
    """All that is known of one run, recipe, comparison or promotion.

    Example: foundry show 3fa9c1
    """
    from foundry.ledger import queries

    return queries.show(name)


def diff(
    a: Annotated[str, typer.Argument(help="Id of a run or recipe, or a YAML file.")],
    b: Annotated[str, typer.Argument(help="The same.")],
) -> Diff:
    """What differs between two recipes.

    Example: foundry diff experiments/baseline.yaml experiments/attn_gqa_2kv.yaml
    """
    from foundry.ledger import queries

    return Diff(edits=queries.diff(a, b))


def lineage(
    baseline: Annotated[Path, typer.Argument(help="The baseline file.")] = BASELINE,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=1_000_000, help="How many of the newest.")
    ] = 1_000_000,
    offset: options.Offset = 0,
) -> Lineage:
    """How the baseline came to be: its promotions, oldest first.

    Example: foundry lineage --json
    """
    from foundry.ledger import queries

    found = queries.lineage(str(baseline))
    end = max(len(found) - offset, 0)
    begin = max(end - limit, 0)
    return Lineage(track=places.track(baseline), promotions=tuple(found[begin:end]), more=begin > 0)


def verify(
    head: Annotated[
        str | None, typer.Option(help="A head that was printed before, noted elsewhere: the chain must contain it.")
    ] = None,
) -> Verified:
    """Whether the lineage is the one that was made: its seals, verdicts, budget and files. Exit code 1 where it isn't.

    Examples: foundry verify · foundry verify --head 3fa9c1d20b77 --json
    """
    from foundry.promote.verify import verify as verb

    return verb(head)


def budget(
    new_season: Annotated[
        bool, typer.Option("--new-season", help="Begin anew with a whole q: a person's decision, on the record.")
    ] = False,
    why: Annotated[str, typer.Option(help="The reason for a new season.")] = "",
    who: Annotated[str, typer.Option(help="Who opens it; default: the user.")] = "",
    *,
    season: options.ErrorBudget,
) -> Budget:
    """What is left of the error budget, and what the next certification needs.

    Examples: foundry budget --json · foundry budget --new-season --q 0.05 --why "another corpus from today"
    """
    from foundry.compare import alpha_spending as verb

    rules = season.rules
    if new_season:
        from foundry.ledger.ledger import Ledger

        with Ledger.open() as ledger:
            verb.new_season(ledger, rules, who, why)
    elif rules.given or why or who:
        raise RequestError("usage.budget", "--new-season", "these options are a new season's", hint="add --new-season")
    return verb.summary()


def kinds() -> Kinds:
    """The swappable parts: every slot, its kinds, a line on each.

    Example: foundry kinds --json
    """
    from foundry.core.slots import SLOTS

    told = {slot.name: {kind: (slot.is_builtin(kind), slot.describe(kind)) for kind in slot.kinds()} for slot in SLOTS}
    ours, theirs = (
        {slot: {kind: what for kind, (own, what) in kinds.items() if own == is_own} for slot, kinds in told.items()}
        for is_own in (True, False)
    )
    return Kinds(slots=ours, workspace={slot: kinds for slot, kinds in theirs.items() if kinds})
