"""A campaign's events and its proposals from outside, in the ledger. May not: decide."""

from __future__ import annotations

from typing import final

from foundry.campaign.live_environment import LiveEnvironment
from foundry.campaign.meter import Meter
from foundry.campaign.state import Event
from foundry.campaign.strategies import Proposal
from foundry.ledger.ledger import Ledger

TOLD = ("word", "point", "status", "reason", "gain", "interval", "share")


@final
class LedgerJournal:
    """Appends under the lease's fence, with what was begun since the event before."""

    def __init__(self, field: LiveEnvironment, track: str, fence: int, meter: Meter) -> None:
        self.field, self.track, self.fence, self.meter = field, track, fence, meter

    def append(self, event: Event) -> Event:
        """A round's recipes are in the ledger before the round is, and its proposals are settled with its end."""
        event = {**event, **self.meter.taken()}
        ledger = self.field.lab.ledger
        for entry in event.get("entries", ()):
            ledger.recipes.put(self.field.recipe(entry["point"]))
        trials = event["trials"] if event["kind"] == "raced" else ()
        settled = [
            (trial["proposal"], {key: trial[key] for key in TOLD}) for trial in trials if trial["proposal"] is not None
        ]
        ledger.campaigns.append(self.track, self.fence, event, settled)
        return event


@final
class LedgerSuggestions:
    """The queue that `foundry propose` fills."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._fences: dict[int, int] = {}

    def take(self, n: int) -> list[tuple[int, Proposal]]:
        found: list[tuple[int, Proposal]] = []
        while len(found) < n and (row := self.ledger.proposals.take()) is not None:
            self._fences[row["seq"]] = row["fence"]
            found.append((row["seq"], Proposal(row["mutation"], row["who"] or "outside", row["why"])))
        return found

    def refuse(self, number: int, why: str) -> None:
        self.ledger.proposals.settle(number, self._fences[number], "refused", {"reason": why})
