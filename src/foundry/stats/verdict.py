"""The verdict on a candidate: pairs of finished runs in, one word and its grounds out.

A pure function of the plan and the counted runs: the decision is made on the pairs in the plan's order, and guards,
costs and the list of runs are those of the pairs that it took; what else finished, and when, changes nothing. Guards
can only block a promotion, which keeps the guarantee of sequential_test.py. May not: train, read files or the ledger,
or choose what is run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import takewhile
from statistics import StatisticsError, correlation, fmean
from typing import Any, Literal

from foundry.core.errors import REASONS, RequestError
from foundry.stats.plausible import quarantine
from foundry.stats.sequential_test import Evidence, Plan, certified_bpb, certify, interval_bpb, relevant_bpb

Word = Literal["better", "not_better", "underpowered", "rejected", "incomparable"]
Match = Literal["tokens", "flops", "seconds"]


@dataclass(frozen=True)
class Cost:
    """What runs used, all of them together."""

    tokens: int = 0
    flops: float = 0.0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    """Of training, measured from outside; 0 where nobody has."""
    judged_cpu_seconds: float = 0.0
    """The same of the processes that were judged, loading included."""

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(Cost)))


@dataclass(frozen=True)
class Score:
    """One finished run. status: `done`, with val_bpb; or why it failed (core.errors.REASONS), without."""

    run: str
    seed: int
    status: str
    val_bpb: float | None = None
    cost: Cost = Cost()

    def __post_init__(self) -> None:
        if self.status != "done" and self.status not in REASONS:
            raise RequestError("judge.bad_score", "status", "", got=self.status, choices=("done", *REASONS))
        if (self.status == "done") != (self.val_bpb is not None):
            raise RequestError("judge.bad_score", "val_bpb", "a number exactly when the run is done", got=self.val_bpb)


Pair = tuple[Score, Score]
"""The baseline's run and the candidate's with one seed."""


@dataclass(frozen=True)
class Arm:
    """The finished runs of one recipe. scale: the facts that two arms must share to be comparable, as judged_hash,
    split and judged_bytes; spent: what finding its settings cost."""

    name: str
    recipe: str
    scores: tuple[Score, ...]
    scale: Mapping[str, Any] = field(default_factory=dict)
    spent: Cost = Cost()

    @property
    def cost(self) -> Cost:
        """Of all its runs, the tuning of its learning rate included."""
        return sum((score.cost for score in self.scores), self.spent)

    def to_json(self) -> dict[str, Any]:
        runs = [{key: getattr(score, key) for key in ("run", "seed", "status", "val_bpb")} for score in self.scores]
        return {"name": self.name, "recipe": self.recipe, "runs": runs, "cost": asdict(self.cost)}


@dataclass(frozen=True)
class Guard:
    """One check that may block a promotion."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True)
class Remeasured:
    """The effect on seeds that took no part in the decision: unbiased, where the deciding pairs flatter a winner."""

    effect_bpb: float
    interval_bpb: tuple[float, float]
    n: int


@dataclass(frozen=True)
class Verdict:
    """The word, what it rests on and what it cost. Effects are baseline minus candidate: positive is better.

    effect_bpb, interval_bpb: the mean difference and its 95 % interval; certified_bpb: at least so much, at the error
    rate α; smallest_effect_bpb: what an `underpowered` test could have missed; correlation: between the paired arms.
    """

    word: Word
    match: Match
    arms: tuple[Arm, Arm]
    plan: Plan
    reasons: tuple[str, ...]
    guards: tuple[Guard, ...] = ()
    differences: tuple[float | None, ...] = ()
    evidence: float | None = None
    effect_bpb: float | None = None
    interval_bpb: tuple[float, float] | None = None
    certified_bpb: float | None = None
    smallest_effect_bpb: float | None = None
    correlation: float | None = None
    remeasured: Remeasured | None = None

    @property
    def n(self) -> int:
        """Pairs looked at."""
        return len(self.differences)

    def to_json(self) -> dict[str, Any]:
        remeasured = None if self.remeasured is None else asdict(self.remeasured)
        if remeasured is not None:
            remeasured["interval_bpb"] = list(remeasured["interval_bpb"])
        return {
            "verdict": self.word,
            "effect_bpb": self.effect_bpb,
            "interval_bpb": None if self.interval_bpb is None else list(self.interval_bpb),
            "n": self.n,
            "evidence": self.evidence,
            "alpha": self.plan.alpha,
            "match": self.match,
            "arms": [arm.to_json() for arm in self.arms],
            "differences": list(self.differences),
            "certified_bpb": self.certified_bpb,
            "smallest_effect_bpb": self.smallest_effect_bpb,
            "correlation": self.correlation,
            "remeasured": remeasured,
            "plan": asdict(self.plan),
            "guards": [asdict(guard) for guard in self.guards],
            "reasons": list(self.reasons),
            "says": say(self),
        }


def judge(baseline: Arm, candidate: Arm, plan: Plan, seeds: Sequence[int], match: Match = "flops") -> Verdict | None:
    """The verdict, or None while pairs are missing. `seeds`: the plan's N seeds in the order fixed before the test.

    Pairs count in that order, whichever run finishes first, until one decides; later ones take no part. A candidate
    that failed in a counted pair is rejected; a pair in which only the baseline failed has no number, which can't help
    the candidate. Raises RequestError when the seeds are not N different ones.
    """
    if len(seeds) != plan.max_pairs or len(set(seeds)) != len(seeds):
        raise RequestError("judge.bad_seeds", "seeds", f"{plan.max_pairs} different ones", got=len(set(seeds)))
    unlike = sorted(k for k in {*baseline.scale, *candidate.scale} if baseline.scale.get(k) != candidate.scale.get(k))
    if unlike:
        nothing = (replace(baseline, scores=()), replace(candidate, scores=()))
        return Verdict("incomparable", match, nothing, plan, (f"the arms differ in {', '.join(unlike)}",))
    pairs = _pairs(baseline, candidate, seeds)
    sound = list(takewhile(lambda pair: pair[1].status == "done", pairs))
    evidence, decision = certify(plan, map(_difference, sound))
    if decision.word == "continue":
        if len(sound) == len(pairs):
            return None
        evidence = evidence.add(None)  # the pair in which the candidate failed
    counted = pairs[: evidence.n]
    divergence = divergence_guard(counted)
    ours, theirs = zip(*counted, strict=True)
    arms = (replace(baseline, scores=ours), replace(candidate, scores=theirs))
    verdict = Verdict("rejected", match, arms, plan, (divergence.detail,), guards=(divergence,))
    verdict = _measured(verdict, evidence, counted)
    if decision.word == "continue":
        return verdict
    verdict = replace(verdict, word=decision.word, reasons=(decision.reason,))
    if decision.word == "better":
        verdict = replace(verdict, certified_bpb=certified_bpb(evidence))
        verdict = guarded(verdict, tail_guard(evidence.measured, beyond_bpb=plan.min_effect_bpb))
        return guarded(verdict, plausibility_guard(_scores(counted)))
    if decision.word == "underpowered":
        return replace(verdict, smallest_effect_bpb=relevant_bpb(evidence))
    return verdict


def remeasure(verdict: Verdict, baseline: Arm, candidate: Arm, seeds: Sequence[int]) -> Verdict:
    """The verdict with its effect measured again on fresh seeds; blocked if the gain isn't there, the tail is worse or
    the scores are too good.

    seeds: of `seeds.remeasurement_seeds`, and a run of each in both arms, so that none is chosen. Raises RequestError
    when runs are missing.
    """
    pairs = _pairs(baseline, candidate, seeds)
    if not pairs or len(pairs) < len(seeds):
        raise RequestError("judge.missing_runs", "seeds", f"{len(seeds)} pairs", got=len(pairs))
    divergence = divergence_guard(pairs)
    if not divergence.passed:
        reasons = (*verdict.reasons, f"measured again, {divergence.detail}")
        return replace(verdict, word="rejected", reasons=reasons, guards=(*verdict.guards, divergence))
    plan = verdict.plan
    evidence = Evidence.of(replace(plan, max_pairs=max(plan.max_pairs, len(seeds))), map(_difference, pairs))
    interval = interval_bpb(evidence)
    if interval is None:
        return replace(verdict, reasons=(*verdict.reasons, "measured again, the baseline failed on every seed"))
    again = Remeasured(fmean(evidence.measured), interval, len(evidence.measured))
    decided = [x for x in verdict.differences if x is not None]
    verdict = guarded(
        replace(verdict, remeasured=again), tail_guard(decided, evidence.measured, beyond_bpb=plan.min_effect_bpb)
    )
    return guarded(verdict, plausibility_guard(_scores(pairs)))


def measured_again(baseline: Arm, candidate: Arm, plan: Plan, seeds: Sequence[int], match: Match = "flops") -> Verdict:
    """What the candidate, promoted before, gains over the baseline on all of `seeds`, which took no part in any
    decision: `better` where every guard passes. Nothing is promoted on it; what it doesn't find is taken back.

    Raises RequestError when runs are missing."""
    found = Verdict("better", match, (baseline, candidate), plan, ("measured again, no guard objects",))
    pairs = _pairs(baseline, candidate, seeds)
    found = remeasure(found, baseline, candidate, seeds)
    return replace(_measured(found, Evidence.of(plan, map(_difference, pairs)), pairs), evidence=None, remeasured=None)


def guarded(verdict: Verdict, guard: Guard) -> Verdict:
    """The verdict with one more guard, which turns `better` into `not_better` if it did not pass."""
    verdict = replace(verdict, guards=(*verdict.guards, guard))
    if guard.passed or verdict.word != "better":
        return verdict
    return replace(verdict, word="not_better", reasons=(*verdict.reasons, f"blocked: {guard.detail}"))


def divergence_guard(pairs: Sequence[Pair]) -> Guard:
    """A candidate that failed in any of the pairs doesn't pass, whatever became of the baseline there."""
    failed = [pair for pair in pairs if pair[1].status != "done"]
    if not failed:
        return Guard("divergence", True, "every run of the candidate finished")
    detail = f"the candidate failed on {len(failed)} of {len(pairs)} seeds ({failed[0][1].status})"
    both = sum(baseline.status != "done" for baseline, _ in failed)
    return Guard("divergence", False, detail + (f", on {both} of them with the baseline" if both else ""))


def tail_guard(decided: Sequence[float], remeasured: Sequence[float] = (), beyond_bpb: float = 0.0) -> Guard:
    """Against noise that is usually better and sometimes awful, where a test on signs can be wrong about the mean.

    A heuristic: the worst pair, fresh ones included, may not lose more than the best one wins, and the mean over the
    fresh pairs must be positive; each counted from `beyond_bpb`, the test's δ_min. Scale-free; what it blocks, and what
    it costs, is measured in docs/verdicts.md.
    """
    pairs = [difference - beyond_bpb for difference in (*decided, *remeasured)]
    worst, best = min(pairs), max(pairs)
    what = f", counted from {beyond_bpb:.4g}" if beyond_bpb else ""
    if -worst > best:
        return Guard("tail", False, f"the worst pair loses {-worst:.4g} bpb, the best one wins {best:.4g}{what}")
    if remeasured and fmean(remeasured) <= beyond_bpb:
        return Guard("tail", False, f"measured again, the effect is {fmean(remeasured):.4g} bpb{what}")
    return Guard("tail", True, f"worst pair {worst:+.4g} bpb, best {best:+.4g}{what}")


def plausibility_guard(pairs: Sequence[tuple[float, float]]) -> Guard:
    """Against gains that no honest change makes: they wait for a person, who may put the recipe in place by hand
    (docs/judge.md, "Quarantine").

    pairs: (baseline, candidate) bits per byte.
    """
    candidate, baseline = fmean(pair[1] for pair in pairs), fmean(pair[0] for pair in pairs)
    odd = quarantine(candidate, baseline)
    said = f"in quarantine until a person has looked: {odd}; docs/judge.md says how to release it"
    return Guard("plausible", not odd, said if odd else "nothing odd")


def say(verdict: Verdict) -> str:
    """One sentence for a person."""
    base, candidate = (arm.name for arm in verdict.arms)
    grounds, margin = "; ".join(verdict.reasons), verdict.plan.min_effect_bpb
    if verdict.word == "incomparable":
        return f"{candidate} can't be compared with {base}: {grounds}."
    if verdict.word == "rejected":
        return f"{candidate} is rejected: {grounds}."
    pairs = f"{verdict.n} pair{'s' if verdict.n != 1 else ''} of runs"
    if verdict.word == "better":
        again = verdict.remeasured
        fresh = f"; {again.effect_bpb:+.4g} bpb measured again on {again.n} fresh seeds" if again else ""
        by = "by" if margin >= 0.0 else f"by {-margin:.3g} bpb or more:"
        claim = f"{candidate} is {'better' if margin >= 0.0 else 'not worse'} than {base} {by}"
        return f"{claim} {_effect(verdict)} over {pairs}{fresh} ({grounds})."
    if verdict.word == "not_better":
        claim = "better than" if margin >= 0.0 else f"no more than {-margin:.3g} bpb worse than"
        return f"{candidate} is not shown to be {claim} {base}: {_effect(verdict)} over {pairs} ({grounds})."
    return f"Too noisy to tell {candidate} from {base}: {_effect(verdict)} over {pairs} ({grounds})."


def _effect(verdict: Verdict) -> str:
    if verdict.effect_bpb is None or verdict.interval_bpb is None:
        return "no measured effect"
    low, high = verdict.interval_bpb
    return f"{verdict.effect_bpb:+.4g} bpb (95% interval {low:.4g} to {high:.4g})"


def _pairs(baseline: Arm, candidate: Arm, seeds: Sequence[int]) -> list[Pair]:
    """In the order of `seeds`, up to the first of which a run is missing."""
    ours, theirs = _by_seed(baseline, seeds), _by_seed(candidate, seeds)
    return [(ours[seed], theirs[seed]) for seed in takewhile(lambda seed: seed in ours and seed in theirs, seeds)]


def _by_seed(arm: Arm, seeds: Sequence[int]) -> dict[int, Score]:
    """The arm's runs of this test; a second run of a seed would be a second chance."""
    wanted = set(seeds)
    scores = {score.seed: score for score in arm.scores if score.seed in wanted}
    if len(scores) != sum(score.seed in wanted for score in arm.scores):
        raise RequestError("judge.two_runs_of_a_seed", arm.name, "one run a seed")
    return scores


def _difference(pair: Pair) -> float | None:
    """Baseline minus candidate, in bpb; None where a run has no score."""
    baseline, candidate = pair[0].val_bpb, pair[1].val_bpb
    return None if baseline is None or candidate is None else baseline - candidate


def _scores(pairs: Sequence[Pair]) -> list[tuple[float, float]]:
    """Baseline's and candidate's bpb of each pair in which both have one."""
    both = [(baseline.val_bpb, candidate.val_bpb) for baseline, candidate in pairs]
    return [(b, c) for b, c in both if b is not None and c is not None]


def _measured(verdict: Verdict, evidence: Evidence, pairs: Sequence[Pair]) -> Verdict:
    """The verdict with the numbers of its evidence, which is that of `pairs`."""
    measured, scores = evidence.measured, _scores(pairs)
    try:
        together = correlation(*zip(*scores, strict=True)) if len(scores) >= 3 else None
    except StatisticsError:  # an arm without any spread
        together = None
    return replace(
        verdict,
        differences=evidence.differences,
        evidence=evidence.e_value,
        effect_bpb=fmean(measured) if measured else None,
        interval_bpb=interval_bpb(evidence),
        correlation=together,
    )
