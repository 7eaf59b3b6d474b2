"""How documents call what an event holds: one name for one thing, units in keys. May not: change what is kept."""

from __future__ import annotations

from typing import Any

from foundry.campaign.state import Event

TRIAL = {
    "word": "mutation",
    "point": "recipe",
    "by": "by",
    "why": "why",
    "proposal": "proposal",
    "status": "status",
    "reason": "reason",
    "gain": "gain_bpb",
    "interval": "interval_bpb",
    "share": "budget_share",
    "fresh": "fresh_gains_bpb",
    "flops": "flops",
}


def trial(record: dict[str, Any]) -> dict[str, Any]:
    """A candidate of a round, or what a proposal has of it. The gain is against the frontier of its time, on
    `budget_share` of the full budget."""
    return {name: record[key] for key, name in TRIAL.items() if key in record}


def certification(event: Event) -> dict[str, Any] | None:
    """What was before the court: a bundle, or the champion without a part of one. None where nothing was.

    The effect of what is `better` is the one measured again; `n` is the pairs that decided."""
    if not event["word"]:
        return None
    pruned = event["kind"] == "pruned"
    return {
        "mutations": [f"without {event['removed']}"] if pruned else [move["word"] for move in event["moves"]],
        "recipe": event["point"],
        "verdict": event["word"],
        "margin_bpb": event["margin"] if pruned else 0.0,
        "claimed_bpb": None if pruned else event["claimed"],
        "effect_bpb": event["effect"],
        "interval_bpb": event.get("interval"),
        "n": event["n"],
        "comparison": event["verdict"],
        "promotion": event["promotion"],
    }
