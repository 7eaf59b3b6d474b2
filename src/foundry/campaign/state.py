"""What a campaign knows: the fold of its events, nothing else. A campaign that was killed is this, folded again.

Events are plain data, each one decision or what came of it: `opened`, `round`, `raced`, `court`, `certified`,
`pruned`, `remeasuring`, `remeasured`, `rebased`, `recoded`, `closed`. May not: decide, read a clock, or keep what grows
faster than a fingerprint a trial.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from foundry.campaign.belief import NEWEST, Address, Observation, changed, difference
from foundry.campaign.environment import Point
from foundry.mutate import words_of

Event = dict[str, Any]
End = Literal["exhausted", "over", "remeasured"]
"""Nothing is left to try; a limit is reached; what was promoted was to be measured again, no more."""


@dataclass
class State:
    champion: Point = ""
    frontier: Point = ""
    gain: float = 0.0
    """The frontier's provisional gain over the champion, in bits per byte."""
    code: str = ""
    """What trained and judged all that is known here."""
    open: Event | None = None
    """The round that is fixed and not over."""
    in_court: bool = False
    """The frontier is before the court, which may have crowned it already."""
    prunable: Event | None = None
    """The promotion whose parts haven't been looked at yet."""
    line: list[Point] = field(default_factory=list)
    """The champions since the last that was measured again, or was there to begin with; that one first."""
    remeasuring: bool = False
    """The champion is being measured again."""
    remeasured: Event | None = None
    """What came of that last."""
    ended: End | None = None
    """How this command ended, where all that it has left to do is to measure again."""
    rounds: int = 0
    idle: int = 0
    """Rounds in a row without a candidate that is new."""
    seen: int = 0
    """Scores so far."""
    seen_at_court: int = 0
    """The same at the last certification, or when another champion came."""
    next_seed: int = 1
    base_failures: int = 0
    """Rounds in a row in which the frontier itself failed."""
    base_failed: str = ""
    """Why the frontier's last run has no score; empty where it has one."""
    known: dict[Point, tuple[Address, str]] = field(default_factory=dict)
    """Of each recipe that was tried or held: its address, and whose proposal it was."""
    points: dict[Address, Point] = field(default_factory=dict)
    observations: deque[Observation] = field(default_factory=lambda: deque(maxlen=NEWEST))
    scored: set[Point] = field(default_factory=set)
    failed: set[Point] = field(default_factory=set)
    ruled: set[Point] = field(default_factory=set)
    """Points that the court has turned down against this champion."""
    last_run: int | None = None
    """The newest run in the ledger when the last event was recorded; None where the record doesn't say."""
    runs: int = 0
    flops: float = 0.0
    seconds: float = 0.0
    promotions: int = 0
    certifications: int = 0
    session: Event | None = None
    """What the running command was asked, until it is done."""
    session_start: tuple[int, float, float] = (0, 0.0, 0.0)

    @property
    def spent(self) -> tuple[int, float, float]:
        """Runs, FLOPs and seconds since this command began, kills included."""
        runs, flops, seconds = self.session_start
        return self.runs - runs, self.flops - flops, self.seconds - seconds

    @property
    def unmeasured(self) -> bool:
        """Whether anything was promoted that wasn't measured again."""
        return len(self.line) > 1

    @property
    def moves(self) -> list[dict[str, Any]]:
        """What leads from the champion to the frontier: word, by, gain; nothing where it is the champion."""
        if self.frontier == self.champion:
            return []
        address, by = self.known[self.frontier]
        word = difference(self.known[self.champion][0], address)
        return [{"word": word, "by": by, "gain": self.gain}]

    @property
    def eligible(self) -> list[Point]:
        """Recipes that are scored and never failed, to which words lead from the champion; the champion first."""
        base = self.known[self.champion][0]
        able = self.scored - self.failed - self.ruled - {self.champion}
        found = [point for point in self.known if point in able and difference(base, self.known[point][0]) is not None]
        return [self.champion, *found]

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
        self.ended = None
        if not self.champion:
            self._rebase(event["champion"])

    def _closed(self, event: Event) -> None:
        self.session, self.ended = None, None
        self.base_failures = 0  # the same command again is another try
        self.failed.discard(self.champion)

    def _rebased(self, event: Event) -> None:
        self._rebase(event["champion"])

    def _recoded(self, event: Event) -> None:
        """What was measured with other code says nothing about this one's."""
        self.code = event["code"]
        self._begin_anew()
        self._rebase(event["champion"])
        self.prunable = None

    def _round(self, event: Event) -> None:
        self.open = event
        self.rounds += 1
        self.next_seed = max(self.next_seed, event["seed"] + 1)
        for entry in event["entries"]:
            self._know(entry["point"], entry.get("base", event["base"]), entry["word"], entry["by"])

    def _raced(self, event: Event) -> None:
        self.open = None
        self.idle = 0 if event["trials"] else self.idle + 1
        self.base_failed = event["base_failed"]
        self.base_failures = self.base_failures + 1 if event["base_failed"] else 0
        self.next_seed = max([self.next_seed, *(seed + 1 for seed in event.get("fresh", ()))])  # as an earlier version
        self._learn(event)
        if "frontier" in event:
            self.frontier, self.gain = event["frontier"], event["gain"]
        for trial in event["trials"] if "frontier" not in event else ():  # as an earlier version
            if trial["status"] == "accepted" and trial["point"] in self.known:
                self.frontier, self.gain = trial["point"], self.gain + trial["gain"]

    def _court(self, event: Event) -> None:
        self.in_court = True

    def _certified(self, event: Event) -> None:
        self.in_court, self.seen_at_court, self.idle = False, self.seen, 0
        self.certifications += 1
        self._learn(event)
        if event["better"]:
            self.promotions += 1
            self.prunable = event
            self._crowned(event)
        else:
            self.ruled.add(event["point"])
            self.frontier, self.gain = self.champion, 0.0

    def _pruned(self, event: Event) -> None:
        bundle, self.prunable = self.prunable, None
        self.next_seed = max([self.next_seed, *(seed + 1 for seed in event["fresh"])])
        words = [word for move in bundle["moves"] for word in words_of(move["word"])] if bundle else []
        for part in event["parts"]:
            assert bundle is not None
            self._know(part["point"], bundle["champion"], "+".join(w for w in words if w != part["word"]), "prune")
        self._learn(event)
        self.certifications += bool(event["word"])
        if event["better"]:
            self.promotions += 1
            self._crowned(event)

    def _remeasuring(self, event: Event) -> None:
        self.remeasuring, self.ended = True, event["ended"]

    def _remeasured(self, event: Event) -> None:
        """What was measured again stands as a whole, and isn't taken apart any more; or is taken back as a whole."""
        self.remeasuring, self.prunable, self.remeasured = False, None, event
        if event["held"]:
            self.line = [self.champion]
            return
        back = {self.known[point][0] for point in self.line[1:]}
        self._rebase(event["start"])
        self.ruled |= {point for point, (address, _) in self.known.items() if address in back}

    def _crowned(self, event: Event) -> None:
        """The champion that came of it is the candidate, with the budget that it was judged with."""
        point, champion = event["point"], promoted(event)
        if point not in self.known:
            self._rebase(champion)
            return
        self.line = [*self.line, champion] if event.get("deferred") else [champion]  # as an earlier version
        self.known[champion] = self.known[point]
        self.points[self.known[champion][0]] = champion
        if point in self.scored:
            self.scored.add(champion)
        self.ruled, self.seen_at_court = set(), self.seen
        self.champion = self.frontier = champion
        self.gain = 0.0

    def _rebase(self, champion: Point) -> None:
        """Everything is measured against `champion` from now on. One that was never tried is a new beginning."""
        if champion not in self.known:
            self._begin_anew()
            self.known[champion] = ((), "")
            self.points[()] = champion
        if champion != self.champion:
            self.ruled, self.prunable, self.seen_at_court = set(), None, self.seen
        self.line = self.line[: self.line.index(champion) + 1] if champion in self.line else [champion]
        self.champion = self.frontier = champion
        self.gain, self.idle, self.open, self.in_court, self.remeasuring = 0.0, 0, None, False, False

    def _begin_anew(self) -> None:
        self.observations.clear()
        for each in (self.known, self.points, self.scored, self.failed, self.ruled, self.line):
            each.clear()

    def _know(self, point: Point, base: Point, word: str, by: str) -> None:
        if point not in self.known and base in self.known:
            address = changed(self.known[base][0], word)
            self.known[point] = (address, by)
            self.points.setdefault(address, point)

    def having_seen(self, observed: Iterable[Sequence[Any]]) -> State:
        """This, with so many more scores; itself unchanged."""
        known = deque(self.observations, maxlen=NEWEST)
        after = replace(self, observations=known, scored=set(self.scored), failed=set(self.failed))
        for each in observed:
            after.observe(*each)
        return after

    def _learn(self, event: Event) -> None:
        for point, seed, bpb in event.get("observed", ()):
            self.next_seed = max(self.next_seed, seed + 1)
            self.observe(point, seed, bpb)

    def observe(self, point: Point, seed: int, bpb: float | None) -> None:
        """One complete run's score on the validation split; None: it failed."""
        self.seen += 1
        self.observations.append(Observation(self.known[point][0], seed, bpb))
        (self.failed if bpb is None else self.scored).add(point)


def promoted(event: Event) -> Point:
    """The champion that came of a promotion."""
    return event.get("crowned") or event["point"]


def folded(events: Iterable[Event]) -> State:
    state = State()
    for event in events:
        state.fold(event)
    return state
