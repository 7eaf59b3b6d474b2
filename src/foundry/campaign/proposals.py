"""The queue into campaigns: proposals from people and agents, checked as they come, listed, and taken back. May not:
try one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from foundry.campaign.event_document import trial
from foundry.core.errors import RequestError
from foundry.documents.campaign import Proposal, Proposals, Proposed
from foundry.ledger.ledger import Ledger
from foundry.ledger.queries import reading


def propose(baseline: Path, text: str, why: str, who: str) -> Proposed:
    """Queue a mutation for the next campaign that looks. Raises RequestError for one that `foundry mutate` refuses on
    this baseline, or that would change nothing there."""
    from foundry.mutate import mutate, parse
    from foundry.mutate.apply import no_effect
    from foundry.recipe import Recipe

    mutation = parse(text)
    _, edits = mutate(Recipe.load(baseline), mutation)
    if not edits:
        raise no_effect(str(mutation))
    with Ledger.open() as ledger:
        number = ledger.proposals.add(str(mutation), why, who)
        waiting = ledger.proposals.waiting()
    return Proposed(proposal=number, mutation=str(mutation), why=why, who=who, waiting=waiting)


def proposals(limit: int, status: str | None = None, offset: int = 0) -> Proposals:
    """The newest first, all or those of one status, and how many wait. Changes nothing."""
    with reading() as file:
        if file is None:
            return Proposals(proposals=(), more=False, waiting=0)
        queue = Ledger(file).proposals
        rows = queue.latest(limit + 1, status, offset)
        found = tuple(map(told, rows[:limit]))
        return Proposals(proposals=found, more=len(rows) > limit, waiting=queue.waiting())


def withdraw(number: int, why: str) -> Proposal:
    """Take back a proposal that still waits. Raises RequestError for one that is unknown, or taken already."""
    result = {"reason": f"withdrawn: {why}" if why else "withdrawn"}
    with Ledger.open() as ledger:
        found = ledger.proposals.withdraw(number, result)
    if found is None or found["state"] != "queued":
        message = "no such proposal" if found is None else f"it is {found['state']} and no longer waits"
        hint = "foundry proposals lists them"
        raise RequestError("proposals.not_queued", str(number), message, got=number, hint=hint)
    return told({**found, "state": "refused", "result": result})


def told(row: dict[str, Any]) -> Proposal:
    """A proposal as every command prints it."""
    result = trial(row["result"]) if row["result"] else None
    return Proposal.from_dict(row, proposal=row["seq"], status=row["state"], result=result)
