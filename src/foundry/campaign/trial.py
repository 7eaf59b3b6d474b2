"""What a round says of a candidate, as its event has it. May not: decide anything."""

from __future__ import annotations

from typing import Any

from foundry.campaign.environment import FULL, Point, RunOutcome
from foundry.campaign.search import Search


def failure_of(outcome: RunOutcome) -> str:
    return f"{outcome.reason}: {outcome.detail}".rstrip(": ")


def trial_of(
    entry: dict[str, Any], outcome: RunOutcome, look: Search | None, before: Point, frontier: Point
) -> dict[str, Any]:
    """The record of a candidate. gain: over the frontier of its time, as all scores have it after the round."""
    record: dict[str, Any] = {key: entry[key] for key in ("word", "point", "by", "why", "proposal")}
    record |= {"status": "survived", "reason": "", "gain": None, "interval": None, "share": FULL, "fresh": []}
    record |= {"flops": outcome.flops}
    if outcome.bpb is None:
        return record | {"status": "failed", "reason": failure_of(outcome)}
    if look is None or before not in look.points:
        return record | {"status": "unpaired", "reason": "what it would be compared with has no score"}
    if entry["point"] not in look.points:
        return record | {"status": "eliminated", "reason": f"not among the best {len(look.points)}"}
    gain, error = look.gain(entry["point"], before)
    record |= {"gain": gain, "interval": [gain - 1.96 * error, gain + 1.96 * error]}
    if entry["point"] == frontier:
        return record | {"status": "accepted"}
    return record | {"reason": "another is better" if gain > 0 else "no gain is expected"}
