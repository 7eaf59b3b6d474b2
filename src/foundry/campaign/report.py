"""What a campaign came to, as one document; everything in it is read off its events and the ledger. May not: decide."""

from __future__ import annotations

from pathlib import Path

from foundry.campaign.state import State
from foundry.campaign.strategies import Strategy
from foundry.campaign.strategies.portfolio import Portfolio
from foundry.core import places
from foundry.documents.campaign import Campaign, MeasuredAgain, Promoted, Provisional, Spent
from foundry.ledger.queries import lineage


def document(baseline: Path, state: State, strategy: Strategy, ended: str) -> Campaign:
    runs, flops, seconds = state.spent
    return Campaign(
        baseline=places.track(baseline),
        file=str(baseline),
        champion=state.champion,
        frontier=state.frontier,
        ended=ended,
        waiting=_waiting(state) if ended == "over" else "",
        this_command=Spent(runs=runs, flops=flops, hours=seconds / 3600),
        runs=state.runs,
        flops=state.flops,
        hours=state.seconds / 3600,
        rounds=state.rounds,
        candidates=len(state.known),
        certifications=state.certifications,
        promotions=_promotions(baseline),
        measured_again=_measured_again(state),
        provisional=Provisional(mutations=tuple(move["word"] for move in state.moves), claimed_bpb=state.gain),
        strategies=strategy.shares() if isinstance(strategy, Portfolio) else {strategy.name: 1.0},
    )


def _waiting(state: State) -> str:
    """What the next command goes on with, or what this one's limit was too small for."""
    if state.remeasuring:
        return "measuring again what was promoted"
    if state.in_court or state.open is not None:
        return "a certification" if state.in_court else "a round"
    return "" if state.spent[0] else "a round, which takes 2 runs or more"


def _measured_again(state: State) -> MeasuredAgain | None:
    if (event := state.remeasured) is None:
        return None
    return MeasuredAgain(
        comparison=event["verdict"],
        from_recipe=event["start"],
        to_recipe=event["champion"],
        verdict=event["word"],
        effect_bpb=event["effect"],
        interval_bpb=event["interval"],
        n=event["n"],
        held=event["held"],
    )


def _promotions(baseline: Path) -> tuple[Promoted, ...]:
    """Standing promotions of the file, oldest first."""
    line = lineage(str(baseline))
    standing = (entry for entry in line if entry.kind == "promote" and not entry.reverted_unix)
    return tuple(Promoted.from_dict(entry.plain()) for entry in standing)
