"""The campaign: what to do next, and the event that says what came of it. Pure given a field, a court and a seed.

    frontier ──race──▶ accepted move ──…──▶ bundle ──court──▶ champion
        ▲                                      └──not better──▶ back to the champion, its halves tried again

Each step writes its decision before its first run and its result after the last, so a campaign that was killed folds
its events, asks for the same runs, which costs nothing, and goes on. May not: touch the ledger, torch or a clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from random import Random
from typing import Any, Literal, Protocol

from foundry.campaign.environment import Certifier, Environment, Point
from foundry.campaign.policy import Limits, Policy
from foundry.campaign.prune import left_out, pruning
from foundry.campaign.state import Carried, Event, State
from foundry.campaign.strategies import Proposal, Scene, Strategy, make
from foundry.campaign.successive_halving import Race
from foundry.core.errors import FoundryError
from foundry.mutate import stack_of, words_of
from foundry.mutate.apply import NO_EFFECT

Step = Literal["raced", "certified", "pruned", "exhausted", "over"]


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


ORDINARY, ENDLESS, NOBODY, UNWRITTEN = Policy(), Limits(), NoSuggestions(), NoJournal()


class Campaign:
    """Begin with `open`, then `step` until it says that it is over."""

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
        if state.open is not None:
            return self._race(state.open)
        if state.in_court:
            return self._certify()
        left = self.limits.runs_left(*state.spent)
        if left <= 0:
            return "over"
        if state.moves and (left < self.policy.reserve_runs or self._due()):
            return self._certify()
        if state.prunable is not None and self.policy.prune_share > 0 and left >= self.policy.reserve_runs:
            self._record(pruning(self.field, self.court, state, self.policy))
            return "pruned"
        batch = self.policy.batch_within(left - self.policy.reserve_runs)
        if not batch and not state.moves:
            batch = self.policy.batch_within(left)  # what it finds goes to court with the next command
        round = self._proposed(batch) if batch else None
        if round is not None:
            self._record(round)
            return self._race(round)
        return self._certify() if state.moves else "exhausted" if batch else "over"

    # -- steps -----------------------------------------------------------------------------------------------------

    def _due(self) -> bool:
        return len(self.state.moves) >= self.policy.bundle or self.state.idle >= self.policy.patience

    def _race(self, round: Event) -> Step:
        self._record(Race(self.field, self.state, self.policy, round).run())
        return "raced"

    def _certify(self) -> Step:
        state = self.state
        if not state.in_court:
            self._record({"kind": "court", "champion": state.champion, "point": state.frontier})
        words = [move["word"] for move in state.moves]
        ruling = self.court.certify(state.champion, state.frontier, "+".join(words), list(state.noise))
        half = len(words) // 2
        halves = [] if ruling.better or not half else ["+".join(words[:half]), "+".join(words[half:])]
        self._record(
            {
                "kind": "certified",
                "champion": state.champion,
                "point": state.frontier,
                "moves": state.moves,
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
                "carry": [{"word": word, "by": "bundle", "why": "half of a bundle that failed"} for word in halves],
            }
        )
        return "certified"

    def _proposed(self, batch: int) -> Event | None:
        """The next round of about so many, fixed before its first run: carried candidates, then those from outside,
        then the strategy's. None when there is nothing new."""
        state, base = self.state, self.state.frontier
        rng = Random(f"{self.seed}|{state.rounds}")
        entries: list[dict[str, Any]] = []
        seen: set[Point] = {base, *state.ruled}

        def enter(proposal: Proposal | Carried, number: int | None) -> str:
            """Put it into the round, or say why not."""
            try:
                point = self.field.apply(base, proposal.word)
            except FoundryError as error:
                return str(error)
            if point in seen:
                return "it is the frontier already" if point == base else "it was turned down, or is in this round"
            seen.add(point)
            known = {"word": proposal.word, "point": point, "by": proposal.by, "why": proposal.why}
            entries.append({**known, "proposal": number, "lot": rng.random()})
            return ""

        for carried in state.carry:  # made for another frontier, which may have some of its words by now
            left = stack_of(word for word in words_of(carried.word) if not self._is_idle(base, word))
            if left:
                enter(replace(carried, word=left), None)
        while len(entries) < batch and (taken := self.suggestions.take(batch - len(entries))):
            for number, proposal in taken:
                if refused := enter(proposal, number):
                    self.suggestions.refuse(number, refused)
        if len(entries) < batch:
            words = self.field.mutations(base)
            scene = Scene(words, lambda w: self._is_new(base, w, seen), rng, lambda w: self._changes(base, w))
            for proposal in self.strategy.ask(scene, batch - len(entries)):
                enter(proposal, None)
        if not entries:
            return None
        keep = state.on_frontier % self.policy.reseed_rounds and not state.reseed
        seed = state.race_seed if keep else state.next_seed
        return {"kind": "round", "base": base, "seed": seed, "entries": entries}

    def _is_new(self, base: Point, word: str, seen: set[Point]) -> bool:
        try:
            point = self.field.apply(base, word)
        except FoundryError:
            return False
        return point not in self.state.tried and point not in seen

    def _is_idle(self, base: Point, word: str) -> bool:
        """Whether the word fits and changes nothing."""
        try:
            return self.field.apply(base, word) == base
        except FoundryError as error:
            return error.code == NO_EFFECT

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
            self.strategy = make(self.strategy.name)
        elif event["kind"] == "raced":
            for trial in event["trials"]:
                self.strategy.tell(trial)
        elif event["kind"] == "pruned":
            for part in event["parts"]:
                self.strategy.tell(left_out(part))
        elif event["kind"] == "certified" and event["better"]:
            self._reward(event["moves"], event["effect"] or 0.0)

    def _reward(self, moves: Sequence[dict[str, Any]], effect: float) -> None:
        """A certified gain, shared by the moves as their claims were."""
        claims = [max(move["gain"], 0.0) for move in moves]
        for move, claim in zip(moves, claims, strict=True):
            self.strategy.reward(move["by"], effect * (claim / sum(claims) if sum(claims) else 1 / len(moves)))
