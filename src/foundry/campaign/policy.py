"""The numbers that a campaign goes by: how it searches and when it goes to court. May not: hold state."""

from __future__ import annotations

import math
from dataclasses import dataclass

from foundry.core.errors import RequestError

MOST_BATCH = 64
"""Runs of a round, however many workers there are."""


@dataclass(frozen=True)
class Policy:
    """What screening does is heuristic, and so are these numbers; what is promoted rests on the court alone."""

    batch: int = 4
    """Runs of a round, each on the full budget and on the round's seed."""
    believed: int = 2000
    """Scores that the search goes by, the newest; at most belief.NEWEST."""
    pool: int = 80
    """Stacks that are weighed against each other for a round."""
    temper: float = 0.7
    """Of the spread of what is believed, as much goes into a draw: less than 1 leans to what looks good."""
    move_z: float = 0.25
    """Standard errors by which the expected gain must exceed none to move the frontier."""
    fewest: int = 12
    """Scores since the last certification before the next, unless a limit is near,"""
    court_z: float = 2.5
    """and standard errors of the gain over the champion, to go to court,"""
    regret: float = 0.15
    """where what is expected to be found yet is no more than this share of the gain,"""
    patience: int = 30
    """or so many scores came since the last certification."""
    last_z: float = 1.0
    """Standard errors that do when a limit draws near, or nothing new is left to try."""
    settle_rounds: int = 4
    """Rounds of known recipes alone, where nothing new is left, before the frontier goes to court or stays."""
    fresh_seeds: int = 2
    """On which each part of a promoted stack is left out."""
    reserve_runs: int = 12
    """What a certification takes, about: rounds leave so much of a limit to it, and with less the frontier goes to
    court."""
    remeasure_runs: int = 16
    """What measuring again takes, at the end, what was promoted: of limits that have room for both, it is left so
    much."""
    min_effect: float = 0.0
    """Gain in bits per byte below which nothing counts."""
    prune_share: float = 0.1
    """A part is pruned when the champion without it is not worse by this share of its stack's gain; 0: never."""

    def batch_within(self, runs: float) -> int:
        """Runs of the largest round that so many pay for; 0 where they pay for none of two."""
        within = int(min(self.batch, runs))
        return within if within >= 2 else 0


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
