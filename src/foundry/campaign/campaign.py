"""The campaign: what to do next, and the event that says what came of it. Pure given a field, a court and a seed.

    runs on a new seed ──▶ what is believed of all recipes ──▶ frontier ──court──▶ champion
        ▲                              │                              └──not better──▶ back to the champion
        └──────────────────────────────┘
    at the end, on fresh seeds: the champion against the one at the start ──nothing gained──▶ back to the start

Each step writes its decision before its first run and its result after the last, so a campaign that was killed folds
its events, asks for the same runs, which costs nothing, and goes on. May not: touch the ledger, torch or a clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random
from typing import Any, Literal, Protocol

from foundry.campaign.belief import Belief, difference
from foundry.campaign.environment import Certifier, Environment, Point, RunRequest
from foundry.campaign.policy import Limits, Policy
from foundry.campaign.prune import left_out, pruning, pruning_runs
from foundry.campaign.search import Search, Stack, believe
from foundry.campaign.state import End, Event, State
from foundry.campaign.strategies import Proposal, Scene, Strategy, make
from foundry.campaign.trial import failure_of, trial_of
from foundry.core.errors import FoundryError

Step = Literal["raced", "certified", "pruned", End]


class Suggestions(Protocol):
    """Proposals from outside the campaign, oldest first. Each that is given out is recorded with its round."""

    def take(self, n: int) -> list[tuple[int, Proposal]]: ...
    def refuse(self, number: int, why: str) -> None: ...


class NoSuggestions:
    def take(self, n: int) -> list[tuple[int, Proposal]]:
        return []

    def refuse(self, number: int, why: str) -> None: ...


class Journal(Protocol):
    """Where events go, durable on return; the event as it was recorded."""

    def append(self, event: Event) -> Event: ...


class NoJournal:
    def append(self, event: Event) -> Event:
        return event


FEWEST_SCORES = 8
"""With fewer, nothing is said of the noise."""
ORDINARY, ENDLESS, NOBODY, UNWRITTEN = Policy(), Limits(), NoSuggestions(), NoJournal()


class Campaign:
    """Begin with `open`, then `step` until it says that it is over, then `finish`; `step` again where that says so."""

    def __init__(
        self,
        field: Environment,
        court: Certifier,
        strategy: Strategy,
        policy: Policy = ORDINARY,
        seed: str | int = 0,
        journal: Journal = UNWRITTEN,
        suggestions: Suggestions = NOBODY,
        past: Iterable[Event] = (),
    ) -> None:
        self.field, self.court, self.strategy, self.policy = field, court, strategy, policy
        self.seed, self.journal, self.suggestions = seed, journal, suggestions
        self.limits = ENDLESS
        self.state = State()
        self._believed: tuple[int, Belief] | None = None
        """By how many scores, and what they say: fitting it is what a decision costs."""
        for event in past:
            self._take(event)

    def open(self, champion: Point, limits: Limits = ENDLESS, asked: dict[str, Any] | None = None) -> None:
        """Start, or go on with what the same command began: its limits count from there."""
        asked = asked or {}
        self.limits = limits
        session = self.state.session
        if session is None or session["asked"] != asked:
            self._record({"kind": "opened", "champion": champion, "asked": asked})
        if champion != self.state.champion:
            self.rebase(champion)

    def rebase(self, champion: Point) -> None:
        """Another champion stands in the baseline file, by a person or another command: go on from there."""
        self._record({"kind": "rebased", "champion": champion})

    def recode(self, champion: Point, code: str) -> None:
        """What is measured from now on is by `code`: where all before was by another, begin anew from `champion`."""
        if self.state.code != code:
            self._record({"kind": "recoded", "champion": champion, "code": code})

    def close(self) -> None:
        """What was asked for is done; the same command again is a new request."""
        self._record({"kind": "closed"})

    def step(self) -> Step:
        """One decision and what it takes. `over` when a limit is reached, `exhausted` when nothing is left to try."""
        state = self.state
        if state.remeasuring:
            return self._remeasure()
        if state.ended:
            return state.ended
        if state.open is not None:
            return self._run(state.open)
        if state.in_court:
            return self._certify()
        left, kept = self.limits.runs_left(*state.spent), self._room()
        if state.unmeasured:
            left, kept = left - kept, 0
        if left <= 0:
            return "over"
        reserve = self.policy.reserve_runs + kept
        rng = Random(f"{self.seed}|{state.rounds}")
        look = self._look(rng)
        stacks = look.stacks() if look is not None and self.strategy.roams else []
        if look is not None and state.frontier != state.champion and self._due(look, stacks, left - reserve):
            return self._certify()
        if state.prunable is not None and left >= reserve + pruning_runs(state.prunable, self.policy):
            self._record(pruning(self.field, self.court, state, self.policy, self._noise()))
            return "pruned"
        batch = self.policy.batch_within(left - reserve)
        batch = batch or self.policy.batch_within(left)  # what it finds goes to court with the next command
        round = self._proposed(batch, look, stacks, rng) if batch else None
        if round is not None:
            self._record(round)
            return self._run(round)
        return "exhausted" if batch else "over"

    def finish(self, ended: End) -> bool:
        """Whether the next step measures again what was promoted: where there is something, and what is left
        suffices."""
        state = self.state
        left = self.limits.runs_left(*state.spent)
        if not state.unmeasured or state.remeasuring or left < self.policy.remeasure_runs:
            return False
        self._record({"kind": "remeasuring", "start": state.line[0], "champion": state.champion, "ended": ended})
        return True

    @property
    def kept(self) -> int:
        """Runs that nothing may use but what is promoted, when it is measured again."""
        state = self.state
        return self._room() if (state.unmeasured or state.in_court) and not state.remeasuring else 0

    # -- steps -----------------------------------------------------------------------------------------------------

    def _room(self) -> int:
        """Runs to measure again with; none where the limits have no room for a certification beside it."""
        spent, policy = self.state.spent, self.policy
        whole = spent[0] + self.limits.runs_left(*spent)
        return policy.remeasure_runs if whole >= policy.reserve_runs + policy.remeasure_runs else 0

    def _look(self, rng: Random) -> Search | None:
        """What is known; None while the champion has no score."""
        state = self.state
        if state.champion not in state.scored:
            return None
        return self._search(state, rng)

    def _due(self, look: Search, stacks: Sequence[Stack], left: float) -> bool:
        """Whether the frontier's gain is believed, and more search now isn't expected to bring much more. left: runs
        that may still be searched with."""
        policy, state = self.policy, self.state
        gain, error = look.gain(state.frontier, state.champion)
        gain -= policy.min_effect
        if left < policy.batch or state.idle >= policy.settle_rounds:
            return gain > policy.last_z * error
        waited = state.seen - state.seen_at_court
        if gain <= policy.court_z * error or waited < policy.fewest:
            return False
        return waited >= policy.patience or look.regret(stacks) <= policy.regret * gain

    def _search(self, state: State, rng: Random) -> Search:
        words = self.field.mutations(state.frontier)
        if self._believed is None or self._believed[0] != state.seen:
            self._believed = state.seen, believe(state, words, self.policy)
        return Search(state, self._believed[1], words, self.policy, rng)

    def _run(self, round: Event) -> Step:
        """The round's runs, and what they make of the belief."""
        state, entries = self.state, round["entries"]
        outcomes = self.field.gather([RunRequest(entry["point"], round["seed"]) for entry in entries])
        observed = [[e["point"], round["seed"], o.bpb] for e, o in zip(entries, outcomes, strict=True)]
        base_failed = next(
            (
                failure_of(o)
                for e, o in zip(entries, outcomes, strict=True)
                if e["point"] == state.frontier and o.reason
            ),
            "",
        )
        before = state.frontier
        after = state.having_seen(observed)
        look = None
        if after.champion in after.scored:
            look = self._search(after, Random(0))
        frontier, gain = look.frontier() if look is not None else (state.champion, 0.0)
        trials = [
            trial_of(entry, outcome, look, before, frontier)
            for entry, outcome in zip(entries, outcomes, strict=True)
            if not entry["again"] or (entry["point"] == frontier != before and frontier != state.champion)
        ]
        self._record(
            {
                "kind": "raced",
                "base": round["base"],
                "seed": round["seed"],
                "trials": trials,
                "observed": observed,
                "base_failed": base_failed,
                "frontier": frontier,
                "gain": gain,
                "runs": len(outcomes),
                "flops": sum(outcome.flops for outcome in outcomes),
            }
        )
        return "raced"

    def _certify(self) -> Step:
        state = self.state
        if not state.in_court:
            self._record({"kind": "court", "champion": state.champion, "point": state.frontier})
        moves = state.moves
        ruling = self.court.certify(state.champion, state.frontier, moves[0]["word"], self._noise())
        arms = state.champion, state.frontier
        seen = [
            [point, state.next_seed + i, bpb]
            for i, pair in enumerate(ruling.validation)
            for point, bpb in zip(arms, pair, strict=True)
        ]
        self._record(
            {
                "kind": "certified",
                "champion": state.champion,
                "point": state.frontier,
                "moves": moves,
                "claimed": state.gain,
                "word": ruling.word,
                "better": ruling.better,
                "effect": ruling.effect_bpb,
                "interval": ruling.interval_bpb and list(ruling.interval_bpb),
                "n": ruling.n,
                "runs": ruling.runs,
                "flops": ruling.flops,
                "verdict": ruling.id,
                "promotion": ruling.promotion,
                "crowned": ruling.promoted,
                "deferred": ruling.better,
                "observed": seen,
            }
        )
        return "certified"

    def _remeasure(self) -> Step:
        state = self.state
        start, champion = state.line[0], state.champion
        ruling = self.court.remeasure(start, champion, self._noise())
        self._record(
            {
                "kind": "remeasured",
                "start": start,
                "champion": champion,
                "word": ruling.word,
                "held": ruling.better or ruling.word == "incomparable",
                "effect": ruling.effect_bpb,
                "interval": ruling.interval_bpb and list(ruling.interval_bpb),
                "n": ruling.n,
                "runs": ruling.runs,
                "flops": ruling.flops,
                "verdict": ruling.id,
                "promotion": ruling.promotion,
            }
        )
        return "remeasured"

    def _noise(self) -> float | None:
        """Standard deviation of a paired difference, as all scores have it; None where there are none to go by."""
        state = self.state
        if state.champion not in state.scored or len(state.observations) < FEWEST_SCORES:
            return None
        return self._search(state, Random(0)).belief.noise_bpb

    def _proposed(self, batch: int, look: Search | None, stacks: Sequence[Stack], rng: Random) -> Event | None:
        """The next round of so many runs, fixed before its first: the champion while it has no score, candidates from
        outside, the strategy's, and what the belief wants, tried or new. None when nothing is new and nothing to be
        settled."""
        state, base = self.state, self.state.frontier
        entries: list[dict[str, Any]] = []
        seen: set[Point] = {*state.ruled}

        def enter(proposal: Proposal, number: int | None, onto: Point = base) -> str:
            """Put it into the round, or say why not."""
            try:
                point = self.field.apply(onto, proposal.word)
            except FoundryError as error:
                return str(error)
            if point in seen or point == onto:
                return "it is the frontier already" if point == onto else "it was turned down, or is in this round"
            entry(point, onto, proposal, number, again=point in state.scored)
            return ""

        def entry(point: Point, onto: Point, proposal: Proposal, number: int | None, again: bool) -> None:
            seen.add(point)
            known = {"word": proposal.word, "point": point, "by": proposal.by, "why": proposal.why}
            entries.append({**known, "proposal": number, "base": onto, "again": again and number is None})

        if look is None or state.base_failed:
            held = state.champion if look is None else base
            entry(held, held, Proposal("", "", "to compare with"), None, again=True)
        fresh = len(entries)
        while len(entries) < batch and (taken := self.suggestions.take(batch - len(entries))):
            for number, proposal in taken:
                if refused := enter(proposal, number):
                    self.suggestions.refuse(number, refused)
        asked: dict[str, Any] = {}
        room = batch - len(entries) - (0 if look is None else max(1, batch // 4))
        if room > 0 and not (self.strategy.roams and look is not None):
            words = self.field.mutations(base)
            scene = Scene(
                words, lambda w: self._is_new(base, w, seen), rng, lambda w: self._changes(base, w),
                lambda w: self._refusal(base, w), lambda: self.field.content(base),
            )  # fmt: skip
            for proposal in self.strategy.ask(scene, room):
                enter(proposal, None)
            asked = {"asked": self.strategy.asked} if self.strategy.asked else {}
        if look is not None:
            for each in look.wanted(stacks):
                if len(entries) == batch:
                    break
                if isinstance(each, Stack):
                    enter(Proposal(each.word, self.strategy.name, "may be the best"), None, each.base)
                elif each not in seen:
                    address, by = state.known[each]
                    word = difference(state.known[state.champion][0], address) or ""
                    entry(each, each, Proposal(word, by, "to be surer of it"), None, again=True)
        new = any(not each["again"] for each in entries[fresh:])
        settling = look is not None and state.idle < self.policy.settle_rounds and len(state.eligible) > 1
        if not (new or settling or (look is None and state.base_failed)):
            return None
        return {"kind": "round", "base": base, "seed": state.next_seed, "entries": entries, **asked}

    def _is_new(self, base: Point, word: str, seen: set[Point]) -> bool:
        try:
            point = self.field.apply(base, word)
        except FoundryError:
            return False
        return point not in self.state.known and point not in seen

    def _refusal(self, base: Point, word: str) -> FoundryError | None:
        try:
            self.field.apply(base, word)
        except FoundryError as error:
            return error
        return None

    def _changes(self, base: Point, word: str) -> bool:
        try:
            return self.field.apply(base, word) != base
        except FoundryError:
            return False

    # -- the record ------------------------------------------------------------------------------------------------

    def _record(self, event: Event) -> None:
        self._take(self.journal.append(event))

    def _take(self, event: Event) -> None:
        """Fold an event in, and tell the strategy what it says."""
        self.state.fold(event)
        if event["kind"] == "recoded":
            self.strategy = make(self.strategy.name, self.strategy.whom)
        elif event["kind"] == "opened":
            self.strategy.recall(None)
        elif event["kind"] == "round" and "asked" in event:
            self.strategy.recall(event["asked"])
        elif event["kind"] == "raced":
            for trial in event["trials"]:
                self.strategy.tell(trial)
        elif event["kind"] == "pruned":
            for part in event["parts"]:
                self.strategy.tell(left_out(part))
        elif event["kind"] == "certified" and event["better"]:
            for move in event["moves"]:
                self.strategy.reward(move["by"], (event["effect"] or 0.0) / len(event["moves"]))
