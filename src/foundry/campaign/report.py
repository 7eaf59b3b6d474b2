"""What a campaign came to, as one document; everything in it is read off its events and the ledger. May not: decide."""

from __future__ import annotations

from pathlib import Path

from scipy.stats import beta

from foundry.campaign.policy import Policy
from foundry.campaign.state import State
from foundry.campaign.strategies import Strategy
from foundry.campaign.strategies.portfolio import Portfolio
from foundry.core import places
from foundry.documents.campaign import Campaign, FalseKills, Promoted, Provisional, Spent
from foundry.ledger.queries import lineage


def document(baseline: Path, state: State, strategy: Strategy, ended: str, policy: Policy) -> Campaign:
    runs, flops, seconds = state.spent
    return Campaign(
        baseline=places.track(baseline),
        file=str(baseline),
        champion=state.champion,
        frontier=state.frontier,
        ended=ended,
        waiting=_waiting(state, policy) if ended == "over" else "",
        this_command=Spent(runs=runs, flops=flops, hours=seconds / 3600),
        runs=state.runs,
        flops=state.flops,
        hours=state.seconds / 3600,
        rounds=state.rounds,
        candidates=len(state.tried),
        certifications=state.certifications,
        promotions=_promotions(baseline),
        provisional=Provisional(mutations=tuple(move["word"] for move in state.moves), claimed_bpb=state.gain),
        false_kills=false_kills(state),
        strategies=strategy.shares() if isinstance(strategy, Portfolio) else {strategy.name: 1.0},
    )


def _waiting(state: State, policy: Policy) -> str:
    """What the next command goes on with, or what this one's limit was too small for."""
    if state.in_court or state.open is not None:
        return "a certification" if state.in_court else "a round"
    return "" if state.spent[0] else f"a round, which takes {policy.round_runs(1)} runs or more"


def false_kills(state: State) -> FalseKills:
    """Of the eliminated that were trained on all the same, how many were worth fresh seeds: rate and 95 % interval
    (Clopper and Pearson). By one run on the full budget, so that noise alone makes some."""
    n, k = state.audited, state.wrongly_killed
    low = float(beta.ppf(0.025, k, n - k + 1)) if k else 0.0
    high = float(beta.ppf(0.975, k + 1, n - k)) if k < n else 1.0
    return FalseKills(audited=n, wrong=k, rate=k / n if n else None, rate_interval=(low, high))


def _promotions(baseline: Path) -> tuple[Promoted, ...]:
    """Standing promotions of the file, oldest first."""
    line = lineage(str(baseline))
    standing = (entry for entry in line if entry.kind == "promote" and not entry.reverted_unix)
    return tuple(Promoted.from_dict(entry.to_dict()) for entry in standing)
