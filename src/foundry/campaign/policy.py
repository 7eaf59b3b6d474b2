"""The numbers that a campaign goes by: how it races, climbs and when it goes to court. May not: hold state."""

from __future__ import annotations

import math
from dataclasses import dataclass

from foundry.core.errors import RequestError

MOST_BATCH = 64
"""Candidates of a round, however many workers there are."""


@dataclass(frozen=True)
class Policy:
    """What screening does is heuristic, and so are these numbers; what is promoted rests on the court alone."""

    rungs: tuple[float, ...] = (0.25, 1.0)
    """Shares of the full budget, rising to 1. Each rung is complete runs, never the beginning of longer ones."""
    batch: int = 8
    """Candidates of a round, at most."""
    eta: int = 2
    """Of the candidates on a rung, one in so many goes on to the next."""
    hopeless_z: float = 1.0
    """Out, whatever its rank: what is so many standard errors below no gain."""
    audit: float = 0.1
    """Share of the eliminated that is trained on all the same: it measures how many were killed wrongly."""
    worth_z: float = 0.5
    """A gain on the race's seed, in standard deviations of a paired difference, that is worth two fresh seeds."""
    accept_z: float = 0.5
    """The same of the mean over the fresh seeds, in standard errors, that moves the frontier."""
    fresh_seeds: int = 2
    reseed_rounds: int = 4
    """Rounds on one frontier after which the race's seed, and so the baseline's run, is a new one."""
    bundle: int = 3
    """Accepted moves that go to court together."""
    patience: int = 2
    """Rounds without an accepted move after which what there is goes to court."""
    reserve_runs: int = 30
    """What a certification takes, about: rounds leave so much of a limit to it, and with less the frontier goes to
    court."""
    min_effect: float = 0.0
    """Gain in bits per byte below which nothing counts."""
    prune_share: float = 0.1
    """A part is pruned when the champion without it is not worse by this share of its bundle's gain; 0: never."""

    def __post_init__(self) -> None:
        if not self.rungs or list(self.rungs) != sorted(set(self.rungs)) or self.rungs[-1] != 1.0 or self.rungs[0] <= 0:
            raise RequestError("policy.rungs", "rungs", "rising shares of the budget that end with 1", got=self.rungs)

    def round_runs(self, candidates: int) -> int:
        """What a round of so many takes, about: the rungs, the frontier on each, a stack, one candidate on fresh
        seeds."""
        runs, alive = 2 * self.fresh_seeds, candidates
        for _ in self.rungs:
            runs += alive + 1
            alive = math.ceil(alive / self.eta)
        return runs + (candidates > 1)

    def batch_within(self, runs: float) -> int:
        """Candidates of the largest round that so many runs pay for; 0 where they pay for none."""
        return next((n for n in range(self.batch, 0, -1) if self.round_runs(n) <= runs), 0)


@dataclass(frozen=True)
class Limits:
    """What one command may use: complete runs' number, FLOPs, hours of work. None: no limit."""

    runs: int | None = None
    flops: float | None = None
    hours: float | None = None

    def __post_init__(self) -> None:
        for name in ("runs", "flops", "hours"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise RequestError("campaign.limit", f"--{name}", "more than 0", got=value)

    def hold(self, runs: int, flops: float, seconds: float) -> bool:
        """Whether so much is within them."""
        return (
            (self.runs is None or runs <= self.runs)
            and (self.flops is None or flops <= self.flops)
            and (self.hours is None or seconds <= 3600 * self.hours)
        )

    def runs_left(self, runs: int, flops: float, seconds: float) -> float:
        """About how many more runs fit, going by what they took so far."""
        left = math.inf
        if self.runs is not None:
            left = min(left, self.runs - runs)
        if self.flops is not None:
            left = min(left, (self.flops - flops) / (flops / runs) if flops > 0 else math.inf)
        if self.hours is not None:
            left = min(left, (3600 * self.hours - seconds) / (seconds / runs) if runs and seconds > 0 else math.inf)
        return left
