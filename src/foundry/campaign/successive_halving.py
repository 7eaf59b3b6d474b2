"""One round: candidates race the frontier up the rungs, and the best must hold on fresh seeds to become the frontier.

A rung is complete short runs on a seed that all share. Who is hopeless by what is known of such gains, or not among the
best, is out; some of them are trained on all the same, so that the report can say how often that is wrong. May not:
promote, or compare with a stored score.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from foundry.campaign.environment import FULL, Environment, Point, RunOutcome, RunRequest
from foundry.campaign.learning_curve import forecast
from foundry.campaign.policy import Policy
from foundry.campaign.state import Event, State
from foundry.core.errors import FoundryError
from foundry.mutate import family_of, stack_of, words_of
from foundry.stats.noise_scale import DEFAULT_SIGMA0_BPB, pooled_sigma0


@dataclass(slots=True)
class Runner:
    """One candidate on its way up."""

    entry: dict[str, Any]
    gains: dict[float, float] = field(default_factory=dict)
    """By share, on the race's seed."""
    fresh: list[float] = field(default_factory=list)
    status: str = "running"
    reason: str = ""
    flops: float = 0.0
    worth: bool = False

    @property
    def point(self) -> Point:
        return self.entry["point"]

    def trial(self, sigma: float) -> dict[str, Any]:
        """The record of it. gain: the mean of what is known on the full budget, else what the last rung showed."""
        full = [*([self.gains[FULL]] if FULL in self.gains else []), *self.fresh]
        known = full or list(self.gains.values())[-1:]
        gain = fmean(self.fresh) if self.fresh else known[0] if known else None
        reach = 1.96 * sigma / math.sqrt(max(len(self.fresh), 1))
        return {
            **{key: self.entry[key] for key in ("word", "point", "by", "why", "proposal")},
            "status": self.status,
            "reason": self.reason,
            "gains": [[share, each] for share, each in self.gains.items()],
            "fresh": self.fresh,
            "gain": gain,
            "interval": None if gain is None or not full else [gain - reach, gain + reach],
            "share": FULL if full else max(self.gains, default=None),
            "worth": self.worth,
            "flops": self.flops,
        }


class Race:
    """The round of `event`, to be run once; asked again after a kill, it asks for the same runs."""

    def __init__(self, field: Environment, state: State, policy: Policy, event: Event) -> None:
        self.field, self.state, self.policy, self.event = field, state, policy, event
        self.base: Point = event["base"]
        self.seed: int = event["seed"]
        self.sigma = pooled_sigma0(state.noise, DEFAULT_SIGMA0_BPB)
        self.runners = [Runner(entry) for entry in event["entries"]]
        self.base_runs: list[list[float]] = []
        self.fresh: list[int] = []
        self.runs, self.flops = 0, 0.0
        self.base_failed = ""

    def run(self) -> Event:
        """The event `raced`: what became of each candidate, and which one, if any, moved the frontier."""
        finalists = self._climb()
        for runner in finalists:
            if runner.point in self.state.ruled:
                runner.reason = "the court has turned it down"
        worthy = [runner for runner in finalists if runner.worth and runner.point not in self.state.ruled]
        worthy = [*self._stacked(worthy), *worthy]
        worthy.sort(key=lambda runner: -runner.gains[FULL])
        accepted = next((runner for runner in worthy if self._holds(runner)), None)
        if accepted is not None:
            accepted.status = "accepted"
        waiting = [runner for runner in worthy if accepted and runner.status == "survived"]
        for runner in waiting:
            runner.reason = "gained beside the accepted one: in the next round again"
        return {
            "kind": "raced",
            "trials": [runner.trial(self.sigma) for runner in self.runners],
            "base_runs": self.base_runs,
            "base_failed": self.base_failed,
            "fresh": self.fresh,
            "carry": [{"word": r.entry["word"], "by": r.entry["by"], "why": "gained beside another"} for r in waiting],
            "sigma": self.sigma,
            "runs": self.runs,
            "flops": self.flops,
        }

    def _stacked(self, worthy: Sequence[Runner]) -> list[Runner]:
        """The winners of different families stacked, the best ones' words first: one more candidate, raced as they
        were. What gains by itself mostly gains beside the others, and a round accepts one move."""
        words: dict[str, str] = {}
        for runner in worthy:
            own = words_of(runner.entry["word"])
            if not words.keys() & {family_of(word) for word in own}:
                words |= {family_of(word): word for word in own}
        stack = stack_of(words.values())
        if len(words) < 2 or stack in {runner.entry["word"] for runner in self.runners}:
            return []
        try:
            point = self.field.apply(self.base, stack)
        except FoundryError:
            return []
        if point in {self.base, *self.state.ruled, *(runner.point for runner in self.runners)}:
            return []
        best = worthy[0].entry
        why = "what gained in this round, stacked"
        runner = Runner({"word": stack, "point": point, "by": best["by"], "why": why, "proposal": None, "lot": 1.0})
        self.runners.append(runner)
        self._rung([runner], FULL)
        if FULL not in runner.gains:
            return []
        self._settle([runner])
        return [runner] if runner.worth else []

    def _climb(self) -> list[Runner]:
        """Up the rungs; those that finished the last one, best first."""
        alive, audited = self.runners, []
        for share in self.policy.rungs:
            if share == FULL:
                alive = alive + audited
            self._rung(alive, share)
            alive = [runner for runner in alive if share in runner.gains]
            if share < FULL:
                alive, out = self._cut(alive, share)
                audited += [runner for runner in out if runner.entry["lot"] < self.policy.audit]
        self._settle(alive)
        for runner in alive:
            runner.status = "audited" if runner in audited else "survived"
        return sorted((r for r in alive if r.status == "survived"), key=lambda r: -r.gains[FULL])

    def _settle(self, finished: Sequence[Runner]) -> None:
        """Whether what they gained is worth fresh seeds."""
        bar = max(self.policy.min_effect, self.policy.worth_z * self.sigma)
        for runner in finished:
            runner.worth, runner.status = runner.gains[FULL] > bar, "survived"
            if not runner.worth and not runner.reason:  # an audited one's says why it was out
                runner.reason = f"no more than {bar:.4f}, which may be noise"

    def _rung(self, runners: Sequence[Runner], share: float) -> None:
        """All of them and the frontier, on the race's seed."""
        if not runners or self.base_failed:
            return
        wanted = [RunRequest(point, self.seed, share) for point in (self.base, *(runner.point for runner in runners))]
        base, *others = self.field.gather(wanted)
        if (self.seed, share) not in self.state.paid_base and [self.seed, share] not in self.base_runs:
            self._charge(base)
            self.base_runs.append([self.seed, share])
        for runner, outcome in zip(runners, others, strict=True):
            self._charge(outcome, runner)
            if outcome.bpb is None:
                runner.status, runner.reason = "failed", f"{outcome.reason}: {outcome.detail}".rstrip(": ")
            elif base.bpb is None:
                runner.status, runner.reason = "unpaired", f"the frontier's run failed: {base.reason}"
            else:
                runner.gains[share] = base.bpb - outcome.bpb
        if base.bpb is None:
            self.base_failed = f"{base.reason}: {base.detail}"

    def _cut(self, runners: list[Runner], share: float) -> tuple[list[Runner], list[Runner]]:
        """Who goes on, and who is out."""
        seen = self.state.curves.get(share, ())
        expected = [(forecast(runner.gains[share], seen, self.sigma), runner) for runner in runners]
        hopeful = [
            (gain, runner)
            for (gain, error), runner in expected
            if gain + self.policy.hopeless_z * error > self.policy.min_effect
        ]
        hopeful.sort(key=lambda pair: -pair[0])
        places = math.ceil(len(self.runners) / self.policy.eta)
        alive = [runner for _, runner in hopeful[:places]]
        out = [runner for runner in runners if runner not in alive]
        late = [runner for _, runner in hopeful[places:]]
        for (gain, error), runner in expected:
            if runner in out:
                why = f"not among the best {places}" if runner in late else "no hope"
                runner.status, runner.reason = "eliminated", f"{why}: forecast {gain:+.4f} ± {error:.4f}"
        return alive, out

    def _holds(self, runner: Runner) -> bool:
        """Whether the gain is there on fresh seeds, against runs of the frontier on the same."""
        if not self.fresh:
            first = max(self.state.next_seed, self.seed + 1)
            self.fresh = list(range(first, first + self.policy.fresh_seeds))
            pay_base = True
        else:
            pay_base = False
        wanted = [RunRequest(point, seed) for seed in self.fresh for point in (self.base, runner.point)]
        outcomes = self.field.gather(wanted)
        pairs = list(zip(outcomes[::2], outcomes[1::2], strict=True))
        for base, own in pairs:
            if pay_base:
                self._charge(base)
            self._charge(own, runner)
        runner.fresh = [base.bpb - own.bpb for base, own in pairs if base.bpb is not None and own.bpb is not None]
        failed = next((own for _, own in pairs if own.bpb is None), None)
        if failed is not None or not runner.fresh:
            runner.status, runner.reason = "failed", f"{failed.reason}: {failed.detail}" if failed else "no baseline"
            return False
        bar = max(self.policy.min_effect, self.policy.accept_z * self.sigma / math.sqrt(len(runner.fresh)))
        if fmean(runner.fresh) > bar:
            return True
        runner.status, runner.reason = "refuted", f"no more than {bar:.4f} on {len(runner.fresh)} fresh seeds"
        return False

    def _charge(self, outcome: RunOutcome, runner: Runner | None = None) -> None:
        self.runs += 1
        self.flops += outcome.flops
        if runner is not None:
            runner.flops += outcome.flops
