"""Foundry and the peers that need no library, each on any world: what it holds for the best, and when.

A method returns its trace: at which cost its incumbent changed, to what, and what gain over the baseline it claims for
it. Costs are full runs. May not: know a truth.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from statistics import fmean

from benchmarks.campaign.court import FieldCourt
from benchmarks.campaign.table import World, WorldField
from foundry.campaign import strategies
from foundry.campaign.campaign import Campaign
from foundry.campaign.environment import FULL, Point
from foundry.campaign.policy import Limits, Policy
from foundry.stats.error_budget import Budget


@dataclass(frozen=True)
class Change:
    """The incumbent from this cost on. claimed: a score in bits per byte that its method shows for it; or, where
    `gain` is given instead, a gain over the incumbent before."""

    cost: float
    point: Point
    claimed: float | None = None
    gain: float | None = None
    margin: float = 0.0
    """What it may be worse by: a part was taken out that no longer helped."""
    back: bool = False
    """Not a promotion but one taken back."""


@dataclass
class Trace:
    """split: where its claims were measured."""

    start: Point
    changes: list[Change] = field(default_factory=list)
    split: str = "validation"
    cost: float = 0.0

    @property
    def point(self) -> Point:
        return self.changes[-1].point if self.changes else self.start

    def change(self, point: Point, claimed: float) -> None:
        self.changes.append(Change(self.cost, point, claimed=claimed))


SHIPPED = Policy()
ERRORS = Budget()
Method = Callable[[World, int, float], tuple[Trace, ...]]
"""(world, seed, horizon in full runs) → its trace; of Foundry the champion's and the frontier's."""


# -- Foundry -----------------------------------------------------------------------------------------------------------


def foundry(
    strategy: str, policy: Policy = SHIPPED, budget: Budget = ERRORS, remeasured: bool = True, teaches: bool = True
) -> Method:
    """The campaign as it ships, on a court with fresh seeds. Its incumbent is the champion; the frontier is what its
    search builds on, and nobody has certified it. remeasured: whether it measures its champion again at the end."""
    return lambda world, seed, horizon: _campaign(world, seed, horizon, policy, strategy, budget, remeasured, teaches)


class _Paused(Exception):
    """The limit stands before the end of what was begun."""


def _campaign(
    world: World,
    seed: int,
    horizon: float,
    policy: Policy,
    strategy: str,
    budget: Budget,
    remeasured: bool,
    teaches: bool,
) -> tuple[Trace, Trace]:
    where = WorldField(world)
    court = FieldCourt(where, hashlib.sha256(f"replay|{seed}".encode()).digest(), budget, teaches)
    running = Campaign(where, court, strategies.make(strategy), policy, seed)
    running.open(world.space.baseline, Limits(flops=horizon))
    champion, ahead = Trace(world.space.baseline, split="certification"), Trace(world.space.baseline)

    def heard(event: dict) -> None:
        """Told of an event before the campaign takes it in."""
        champion.cost = ahead.cost = cost = running.state.flops + event.get("flops", 0.0)
        if cost > horizon - running.kept:
            champion.cost = ahead.cost = horizon
            raise _Paused
        if event["kind"] == "remeasured":
            claimed = sum(change.gain or 0.0 for change in champion.changes)
            held, point = event["held"], event["champion" if event["held"] else "start"]
            gain = (event["effect"] or 0.0) if held else 0.0
            champion.changes.append(Change(cost, point, gain=gain - claimed, back=not held))
        if event["kind"] in ("certified", "pruned") and event["better"]:
            kept = event.get("margin", 0.0)
            champion.changes.append(Change(cost, event["point"], gain=event["effect"], margin=kept))
        if event["kind"] == "pruned" and event["better"]:
            ahead.changes.append(Change(cost, event["point"], gain=event["effect"], margin=event["margin"]))
        if event["kind"] == "certified" and not event["better"]:
            ahead.changes.append(Change(cost, event["champion"], gain=-event["claimed"], back=True))
        if event["kind"] == "raced" and event["frontier"] != running.state.frontier:
            ahead.changes.append(Change(cost, event["frontier"], gain=event["gain"] - running.state.gain))

    running.journal = _Heard(heard)
    try:
        while running.step() not in ("over", "exhausted"):
            pass
    except _Paused:
        pass
    if remeasured and running.finish("over"):
        running.step()
    return champion, ahead


class _Heard:
    """A journal that tells."""

    def __init__(self, tell: Callable[[dict], None]) -> None:
        self._tell = tell

    def append(self, event: dict) -> dict:
        self._tell(event)
        return event


# -- peers -------------------------------------------------------------------------------------------------------------


def greedy(seeds: int) -> Method:
    """Keep or discard: a random neighbour of the incumbent is kept when its mean over `seeds` new seeds is lower than
    the mean on record for the incumbent."""

    def run(world: World, seed: int, horizon: float) -> tuple[Trace]:
        rng, drawn, trace = Random(f"greedy|{seed}"), Seeds(), Trace(world.space.baseline)
        held = _mean(world, trace, trace.start, drawn, seeds, horizon)
        while held is not None and trace.cost + seeds <= horizon:
            word = rng.choice(world.space.words(trace.point))
            point = world.space.apply(trace.point, word)
            score = _mean(world, trace, point, drawn, seeds, horizon)
            if score is not None and score < held:
                held = score
                trace.change(point, score)
        return (trace,)

    return run


def random_search(world: World, seed: int, horizon: float) -> tuple[Trace]:
    """Any point, one full run each on a seed of its own; the lowest score is the incumbent."""
    rng, drawn, trace = Random(f"random|{seed}"), Seeds(), Trace(world.space.baseline)
    best = _mean(world, trace, trace.start, drawn, 1, horizon)
    while trace.cost + FULL <= horizon:
        point = world.space.point({name: rng.choice(all_) for name, all_ in world.space.families.items()})
        score = _mean(world, trace, point, drawn, 1, horizon)
        if score is not None and (best is None or score < best):
            best = score
            trace.change(point, score)
    return (trace,)


class Seeds:
    """Seeds never used before."""

    def __init__(self) -> None:
        self.used = 0

    def next(self) -> int:
        self.used += 1
        return self.used


def _mean(world: World, trace: Trace, point: Point, drawn: Seeds, seeds: int, horizon: float) -> float | None:
    """Of full runs on new seeds, charged; None when one fails."""
    scores = [world.run(point, drawn.next()) for _ in range(seeds)]
    trace.cost += seeds * FULL
    return None if None in scores else fmean(score for score in scores if score is not None)
