"""How documents call what an event holds: one name for one thing, units in keys. May not: change what is kept."""

from __future__ import annotations

from typing import Any

from foundry.campaign.state import Event
from foundry.documents.campaign import Certification, Question, Trial

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


def trial(record: dict[str, Any]) -> Trial:
    """A candidate of a round, or what a proposal has of it."""
    return Trial.from_dict({name: record[key] for key, name in TRIAL.items() if key in record})


def question(asked: dict[str, Any]) -> Question:
    """What a round asked of somebody else."""
    refused = [{"mutation": each["word"], "code": each["code"], "why": each["why"]} for each in asked["refused"]]
    return Question.from_dict({**asked, "refused": refused})


def certification(event: Event) -> Certification | None:
    """What was put to the test; None where nothing was."""
    if not event["word"]:
        return None
    pruned, flatters = event["kind"] == "pruned", bool(event.get("deferred"))
    effect, interval = event["effect"], event.get("interval")
    return Certification(
        mutations=(f"without {event['removed']}",) if pruned else tuple(move["word"] for move in event["moves"]),
        recipe=event["point"],
        verdict=event["word"],
        margin_bpb=event["margin"] if pruned else 0.0,
        claimed_bpb=None if pruned else event["claimed"],
        effect_bpb=None if flatters else effect,
        interval_bpb=None if flatters else interval,
        flattering_effect_bpb=effect if flatters else None,
        flattering_interval_bpb=interval if flatters else None,
        n=event["n"],
        comparison=event["verdict"],
        promotion=event["promotion"],
    )
