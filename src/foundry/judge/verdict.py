"""The verdict on a candidate: pairs of finished runs in, one word and its grounds out.

A pure function of recorded runs, so that judging again after a crash gives the same verdict. Guards can only block a
promotion, which keeps the guarantee of evidence.py. May not: train, read files or the ledger, or choose what is run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import StatisticsError, correlation, fmean
from typing import Any, Literal

from foundry.core.errors import REASONS, RequestError
from foundry.judge.evidence import Evidence, Plan, certified_bpb, certify, interval_bpb, relevant_bpb
from foundry.judge.plausible import quarantine

Word = Literal["better", "not_better", "underpowered", "rejected", "incomparable"]
Match = Literal["tokens", "flops", "seconds"]


@dataclass(frozen=True)
class Score:
    """One finished run. status: `done`, with val_bpb; or why it failed (core.errors.REASONS), without."""

    run: str
    seed: int
    status: str
    val_bpb: float | None = None

    def __post_init__(self) -> None:
        if self.status != "done" and self.status not in REASONS:
            raise RequestError("judge.bad_score", "status", "", got=self.status, choices=("done", *REASONS))
        if (self.status == "done") != (self.val_bpb is not None):
            raise RequestError("judge.bad_score", "val_bpb", "a number exactly when the run is done", got=self.val_bpb)


@dataclass(frozen=True)
class Cost:
    """What an arm's runs used, all of them together, the tuning of its learning rate included."""

    tokens: int = 0
    flops: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True)
class Arm:
    """The finished runs of one recipe. scale: the facts that two arms must share to be comparable, as judged_hash,
    split and judged_bytes."""

    name: str
    recipe: str
    scores: tuple[Score, ...]
    scale: Mapping[str, Any] = field(default_factory=dict)
    cost: Cost = Cost()

    def to_json(self) -> dict[str, Any]:
        runs = [asdict(score) for score in self.scores]
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

    Pairs count in that order, whichever run finishes first. A candidate that failed on any seed is rejected; a seed on
    which only the baseline failed is a pair without a number, which can't help the candidate. Raises RequestError when
    the seeds are not N different ones.
    """
    if len(seeds) != plan.max_pairs or len(set(seeds)) != len(seeds):
        raise RequestError("judge.bad_seeds", "seeds", f"{plan.max_pairs} different ones", got=len(set(seeds)))
    empty = Verdict("incomparable", match, (baseline, candidate), plan, ())
    unlike = sorted(k for k in {*baseline.scale, *candidate.scale} if baseline.scale.get(k) != candidate.scale.get(k))
    if unlike:
        return replace(empty, reasons=(f"the arms differ in {', '.join(unlike)}",))
    ours, theirs = _by_seed(baseline, seeds), _by_seed(candidate, seeds)
    differences = _differences(ours, theirs, seeds)
    divergence = divergence_guard(ours, theirs)
    if not divergence.passed:
        rejected = replace(empty, word="rejected", reasons=(divergence.detail,), guards=(divergence,))
        return _measured(rejected, Evidence.of(plan, differences), _scores(ours, theirs, seeds))
    evidence, decision = certify(plan, differences)
    if decision.word == "continue":
        return None
    verdict = replace(empty, word=decision.word, reasons=(decision.reason,), guards=(divergence,))
    verdict = _measured(verdict, evidence, _scores(ours, theirs, seeds[: evidence.n]))
    if decision.word == "better":
        verdict = guarded(replace(verdict, certified_bpb=certified_bpb(evidence)), tail_guard(evidence.measured))
        return guarded(verdict, plausibility_guard(_scores(ours, theirs, seeds[: evidence.n])))
    if decision.word == "underpowered":
        return replace(verdict, smallest_effect_bpb=relevant_bpb(evidence))
    return verdict


def remeasure(verdict: Verdict, baseline: Arm, candidate: Arm, seeds: Sequence[int]) -> Verdict:
    """The verdict with its effect measured again on fresh seeds; blocked if the gain isn't there or the tail is worse.

    seeds: of `seeds.remeasurement_seeds`, and a run of each in both arms, so that none is chosen. Raises RequestError
    when runs are missing.
    """
    ours, theirs = _by_seed(baseline, seeds), _by_seed(candidate, seeds)
    differences = _differences(ours, theirs, seeds)
    if not differences or len(differences) < len(seeds):
        raise RequestError("judge.missing_runs", "seeds", f"{len(seeds)} pairs", got=len(differences))
    divergence = divergence_guard(ours, theirs)
    if not divergence.passed:
        reasons = (*verdict.reasons, f"measured again, {divergence.detail}")
        return replace(verdict, word="rejected", reasons=reasons, guards=(*verdict.guards, divergence))
    evidence = Evidence.of(replace(verdict.plan, max_pairs=max(verdict.plan.max_pairs, len(seeds))), differences)
    interval = interval_bpb(evidence)
    if interval is None:
        return replace(verdict, reasons=(*verdict.reasons, "measured again, the baseline failed on every seed"))
    again = Remeasured(fmean(evidence.measured), interval, len(evidence.measured))
    decided = [x for x in verdict.differences if x is not None]
    return guarded(replace(verdict, remeasured=again), tail_guard(decided, evidence.measured))


def guarded(verdict: Verdict, guard: Guard) -> Verdict:
    """The verdict with one more guard, which turns `better` into `not_better` if it did not pass."""
    verdict = replace(verdict, guards=(*verdict.guards, guard))
    if guard.passed or verdict.word != "better":
        return verdict
    return replace(verdict, word="not_better", reasons=(*verdict.reasons, f"blocked: {guard.detail}"))


def divergence_guard(baseline: Mapping[int, Score], candidate: Mapping[int, Score]) -> Guard:
    """A candidate that failed on any of the test's seeds doesn't pass, whatever became of the baseline there."""
    failed = sorted(seed for seed, score in candidate.items() if score.status != "done")
    if not failed:
        return Guard("divergence", True, "every run of the candidate finished")
    detail = f"the candidate failed on {len(failed)} of {len(candidate)} seeds ({candidate[failed[0]].status})"
    both = sum(seed in baseline and baseline[seed].status != "done" for seed in failed)
    return Guard("divergence", False, detail + (f", on {both} of them with the baseline" if both else ""))


def tail_guard(decided: Sequence[float], remeasured: Sequence[float] = ()) -> Guard:
    """Against noise that is usually better and sometimes awful, where a test on signs can be wrong about the mean.

    A heuristic: the worst pair, fresh ones included, may not lose more than the best one wins, and the mean over the
    fresh pairs must be positive. Scale-free; what it blocks, and what it costs, is measured in docs/verdicts.md.
    """
    pairs = [*decided, *remeasured]
    worst, best = min(pairs), max(pairs)
    if -worst > best:
        return Guard("tail", False, f"the worst pair loses {-worst:.4g} bpb, the best one wins {best:.4g}")
    if remeasured and fmean(remeasured) <= 0.0:
        return Guard("tail", False, f"measured again, the effect is {fmean(remeasured):.4g} bpb")
    return Guard("tail", True, f"worst pair {worst:+.4g} bpb, best {best:+.4g}")


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
    grounds = "; ".join(verdict.reasons)
    if verdict.word == "incomparable":
        return f"{candidate} can't be compared with {base}: {grounds}."
    if verdict.word == "rejected":
        return f"{candidate} is rejected: {grounds}."
    pairs = f"{verdict.n} pair{'s' if verdict.n != 1 else ''} of runs"
    if verdict.word == "better":
        again = verdict.remeasured
        fresh = f"; {again.effect_bpb:+.4g} bpb measured again on {again.n} fresh seeds" if again else ""
        return f"{candidate} is better than {base} by {_effect(verdict)} over {pairs}{fresh} ({grounds})."
    if verdict.word == "not_better":
        return f"{candidate} is not shown to be better than {base}: {_effect(verdict)} over {pairs} ({grounds})."
    return f"Too noisy to tell {candidate} from {base}: {_effect(verdict)} over {pairs} ({grounds})."


def _effect(verdict: Verdict) -> str:
    if verdict.effect_bpb is None or verdict.interval_bpb is None:
        return "no measured effect"
    low, high = verdict.interval_bpb
    return f"{verdict.effect_bpb:+.4g} bpb (95% interval {low:.4g} to {high:.4g})"


def _by_seed(arm: Arm, seeds: Sequence[int]) -> dict[int, Score]:
    """The arm's runs of this test; a second run of a seed would be a second chance."""
    wanted = set(seeds)
    scores = {score.seed: score for score in arm.scores if score.seed in wanted}
    if len(scores) != sum(score.seed in wanted for score in arm.scores):
        raise RequestError("judge.two_runs_of_a_seed", arm.name, "one run a seed")
    return scores


def _differences(ours: Mapping[int, Score], theirs: Mapping[int, Score], seeds: Sequence[int]) -> list[float | None]:
    """In the order of `seeds`, up to the first pair that isn't complete; None where a run has no score."""
    differences: list[float | None] = []
    for seed in seeds:
        if seed not in ours or seed not in theirs:
            break
        both = _scores(ours, theirs, [seed])
        differences.append(both[0][0] - both[0][1] if both else None)
    return differences


def _scores(ours: Mapping[int, Score], theirs: Mapping[int, Score], seeds: Sequence[int]) -> list[tuple[float, float]]:
    """Baseline's and candidate's bpb on each seed where both have one."""
    pairs = [(ours[seed].val_bpb, theirs[seed].val_bpb) for seed in seeds if seed in ours and seed in theirs]
    return [(b, c) for b, c in pairs if b is not None and c is not None]


def _measured(verdict: Verdict, evidence: Evidence, pairs: Sequence[tuple[float, float]]) -> Verdict:
    """The verdict with the numbers of its evidence. `pairs`: the two scores of each measured pair."""
    measured = evidence.measured
    try:
        together = correlation(*zip(*pairs, strict=True)) if len(pairs) >= 3 else None
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
