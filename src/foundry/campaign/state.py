"""What a campaign knows: the fold of its events, nothing else. A campaign that was killed is this, folded again.

Events are plain data, each one decision or what came of it: `opened`, `round`, `raced`, `court`, `certified`,
`pruned`, `rebased`, `recoded`, `closed`. May not: decide, read a clock, or keep what grows faster than a fingerprint a
trial.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from foundry.campaign.environment import Point

Event = dict[str, Any]
NOISE_GROUPS = 64
CURVE_PAIRS = 200


@dataclass(slots=True)
class Carried:
    """A candidate that the next round takes first: it gained beside another that was accepted, or is half of a bundle
    that failed."""

    word: str
    by: str
    why: str


@dataclass
class State:
    champion: Point = ""
    frontier: Point = ""
    code: str = ""
    """What trained and judged all that is known here."""
    moves: list[dict[str, Any]] = field(default_factory=list)
    """What leads from the champion to the frontier: word, by, gain."""
    open: Event | None = None
    """The round that is fixed and not over."""
    in_court: bool = False
    """The frontier is before the court, which may have promoted it already."""
    carry: list[Carried] = field(default_factory=list)
    prunable: Event | None = None
    """The promotion whose parts haven't been looked at yet."""
    rounds: int = 0
    idle: int = 0
    """Rounds since the frontier moved or was certified."""
    on_frontier: int = 0
    """Rounds on this frontier."""
    next_seed: int = 1
    race_seed: int = 0
    reseed: bool = False
    """The frontier failed on the race's seed: the next round takes another."""
    base_failures: int = 0
    """Rounds in a row in which the frontier itself failed."""
    base_failed: str = ""
    """Why the frontier's last run has no score; empty where it has one."""
    paid_base: set[tuple[int, float]] = field(default_factory=set)
    """(seed, share) of the frontier's own runs that are charged already."""
    tried: set[Point] = field(default_factory=set)
    ruled: set[Point] = field(default_factory=set)
    """Points that the court has turned down against this champion."""
    noise: deque[tuple[float, ...]] = field(default_factory=lambda: deque(maxlen=NOISE_GROUPS))
    """Paired differences on fresh seeds, a group a candidate."""
    curves: dict[float, deque[tuple[float, float]]] = field(default_factory=dict)
    """By a rung's share: gains there beside the same candidates' gains on the full budget."""
    last_run: int | None = None
    """The newest run in the ledger when the last event was recorded; None where the record doesn't say."""
    runs: int = 0
    flops: float = 0.0
    seconds: float = 0.0
    promotions: int = 0
    certifications: int = 0
    audited: int = 0
    wrongly_killed: int = 0
    """Of the eliminated that were trained on all the same, those that were worth fresh seeds."""
    session: Event | None = None
    """What the running command was asked, until it is done."""
    session_start: tuple[int, float, float] = (0, 0.0, 0.0)

    @property
    def spent(self) -> tuple[int, float, float]:
        """Runs, FLOPs and seconds since this command began, kills included."""
        runs, flops, seconds = self.session_start
        return self.runs - runs, self.flops - flops, self.seconds - seconds

    @property
    def gain(self) -> float:
        """The frontier's provisional gain over the champion."""
        return sum(move["gain"] for move in self.moves)

    def fold(self, event: Event) -> None:
        """Take one event in."""
        self.runs += event.get("runs", 0)
        self.flops += event.get("flops", 0.0)
        self.seconds += event.get("seconds", 0.0)
        self.last_run = event.get("last_run", self.last_run)
        getattr(self, f"_{event['kind']}")(event)

    def _opened(self, event: Event) -> None:
        self.session = event
        self.session_start = (self.runs, self.flops, self.seconds)
        if not self.champion:
            self._rebase(event["champion"])

    def _closed(self, event: Event) -> None:
        self.session = None
        self.base_failures = 0  # the same command again is another try

    def _rebased(self, event: Event) -> None:
        self._rebase(event["champion"])

    def _recoded(self, event: Event) -> None:
        """What was measured with other code says nothing about this one's."""
        self.code = event["code"]
        self.tried, self.ruled, self.carry, self.curves = set(), set(), [], {}
        self.noise.clear()
        self._rebase(event["champion"])
        self.prunable = None

    def _round(self, event: Event) -> None:
        self.open = event
        self.rounds += 1
        self.on_frontier += 1
        self.carry = []
        if event["seed"] != self.race_seed:
            self.race_seed, self.paid_base = event["seed"], set()
        self.next_seed = max(self.next_seed, event["seed"] + 1)
        self.tried.update(entry["point"] for entry in event["entries"])

    def _raced(self, event: Event) -> None:
        self.open = None
        self.idle += 1
        self.reseed = bool(event["base_failed"])
        self.base_failed = event["base_failed"]
        self.base_failures = self.base_failures + 1 if event["base_failed"] else 0
        self.paid_base.update((seed, share) for seed, share in event["base_runs"])
        self.next_seed = max([self.next_seed, *(seed + 1 for seed in event["fresh"])])
        for trial in event["trials"]:
            self.tried.add(trial["point"])
            gains = dict(map(tuple, trial["gains"]))
            if 1.0 in gains:
                for share in gains.keys() - {1.0}:
                    self.curves.setdefault(share, deque(maxlen=CURVE_PAIRS)).append((gains[share], gains[1.0]))
            if trial["status"] == "audited":
                self.audited += 1
                self.wrongly_killed += bool(trial["worth"])
            if len(trial["fresh"]) > 1:
                self.noise.append(tuple(trial["fresh"]))
            if trial["status"] == "accepted":
                self.moves.append({key: trial[key] for key in ("word", "by", "gain", "flops")})
                self._move(trial["point"])
        self.carry += [Carried(**each) for each in event["carry"]]

    def _court(self, event: Event) -> None:
        self.in_court = True

    def _certified(self, event: Event) -> None:
        self.in_court = False
        self.certifications += 1
        if event["better"]:
            self.promotions += 1
            self.prunable = event
            self.ruled = set()
            self.champion, self.moves, self.idle = promoted(event), [], 0
            if self.champion != self.frontier:
                self._move(self.champion)
        else:
            self.ruled.add(event["point"])
            self._rebase(self.champion)
        self.carry += [Carried(**each) for each in event["carry"]]

    def _pruned(self, event: Event) -> None:
        self.prunable = None
        self.next_seed = max([self.next_seed, *(seed + 1 for seed in event["fresh"])])
        self.certifications += bool(event["word"])
        if event["better"]:
            self.promotions += 1
            self.ruled = set()
            self._rebase(promoted(event))

    def _rebase(self, champion: Point) -> None:
        """Everything is measured against `champion` from now on; what was accepted beyond it is given up."""
        if champion != self.champion:
            self.ruled, self.prunable = set(), None
        self.champion, self.moves, self.idle, self.open, self.in_court = champion, [], 0, None, False
        self._move(champion)

    def _move(self, frontier: Point) -> None:
        self.frontier, self.on_frontier, self.idle = frontier, 0, 0
        self.paid_base = set()


def promoted(event: Event) -> Point:
    """The champion that came of a promotion."""
    return event.get("crowned") or event["point"]


def folded(events: Iterable[Event]) -> State:
    state = State()
    for event in events:
        state.fold(event)
    return state
