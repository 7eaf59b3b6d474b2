"""The evidence of one certification: a betting process on signs, with the horizon N and the goal 1/α built in.

Of the 2^N sequences of signs that N pairs can show, K = ⌊α 2^N⌋ are made winners, not in advance but as the pairs
arrive: the size of a difference says how many of the winners still left go to "+" and how many to "−" before its sign
is looked at. With w_n winners left among the 2^(N−n) sequences still possible,

    E_n = (w_n / 2^(N−n)) / (K / 2^N) = w_n 2^n / K

is a nonnegative supermartingale with E_0 = 1 whenever every difference is symmetric about some m ≤ 0 given the past,
so P(E_n ≥ 1/α for any n) ≤ α (Ville), whenever one stops or peeks. docs/verdicts.md has the proof, and the comparison
with the mean of tanh products that this replaced. The scale σ₀ and the way of splitting change the power only.

Pure functions and frozen state. May not: read scores, a clock or the ledger; know how many tests there are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from statistics import NormalDist, fmean
from typing import Any, Literal

from foundry.core.errors import RequestError
from foundry.stats import MOST_PAIRS, SCALE_PRIOR_DF

Word = Literal["continue", "better", "not_better", "underpowered"]

_NORMAL = NormalDist()
_ALMOST_ONE = 1.0 - 2.0**-53


@dataclass(frozen=True)
class Plan:
    """What is fixed before the first pair is trained.

    alpha: the chance of a false promotion this test may take; sigma0_bpb: the scale of a paired difference, from data
    that came before; max_pairs: N; min_pairs: no promotion on fewer; min_effect_bpb: δ_min, what a gain must exceed
    (below zero: the test of "not worse by so much"); relevant_bpb: the smallest effect that anyone would want, for
    telling `not_better` from `underpowered` (None: the smallest effect that this plan sees with 80 % power). Raises
    RequestError.
    """

    alpha: float
    sigma0_bpb: float
    max_pairs: int = 12
    min_pairs: int = 3
    min_effect_bpb: float = 0.0
    relevant_bpb: float | None = None

    def __post_init__(self) -> None:
        if not 0.0 < self.alpha < 1.0:
            raise RequestError("judge.bad_plan", "alpha", "between 0 and 1", got=self.alpha)
        if not (self.sigma0_bpb > 0.0 and math.isfinite(self.sigma0_bpb)):
            raise RequestError("judge.bad_plan", "sigma0_bpb", "a positive number", got=self.sigma0_bpb)
        if not 1 <= self.min_pairs <= self.max_pairs <= MOST_PAIRS:
            message = f"1 ≤ min_pairs ≤ max_pairs ≤ {MOST_PAIRS}"
            raise RequestError("judge.bad_plan", "max_pairs", message, got=self.max_pairs)
        if not math.isfinite(self.min_effect_bpb):
            raise RequestError("judge.bad_plan", "min_effect_bpb", "a number", got=self.min_effect_bpb)
        if self.relevant_bpb is not None and not self.relevant_bpb > 0.0:
            raise RequestError("judge.bad_plan", "relevant_bpb", "a positive number", got=self.relevant_bpb)
        if self.winners == 0:
            raise RequestError(
                "judge.alpha_out_of_reach",
                "alpha",
                f"{self.max_pairs} pairs can't reach 1/α",
                got=self.alpha,
                hint=f"max_pairs of at least {fewest_pairs(self.alpha)}, or a new season",
            )

    @property
    def winners(self) -> int:
        """K: how many of the 2^N sequences of signs may promote."""
        return math.floor(self.alpha * 2**self.max_pairs)


@dataclass(frozen=True)
class Evidence:
    """The state after n pairs: a pure function of (plan, differences), so that a stored test goes on where it was.

    differences: baseline minus candidate, in bpb, one a pair, in the order of the plan's seeds; None for a pair whose
    baseline failed, which speaks for nobody; left: w_n, the winning sequences that are still possible.
    """

    plan: Plan
    differences: tuple[float | None, ...]
    left: int

    @classmethod
    def start(cls, plan: Plan) -> Evidence:
        return cls(plan, (), plan.winners)

    @classmethod
    def of(cls, plan: Plan, differences: Iterable[float | None]) -> Evidence:
        """The state after `differences`. Raises RequestError past N pairs and on numbers that are not finite."""
        evidence = cls.start(plan)
        for difference in differences:
            evidence = evidence.add(difference)
        return evidence

    @property
    def n(self) -> int:
        return len(self.differences)

    @property
    def measured(self) -> tuple[float, ...]:
        """The differences of the pairs in which both runs have a score."""
        return tuple(difference for difference in self.differences if difference is not None)

    @property
    def e_value(self) -> float:
        """E_n: the money of a gambler who began with 1 and bet on "the candidate is better" at fair odds."""
        return self.left * 2**self.n / self.plan.winners

    @property
    def scale_bpb(self) -> float:
        """σ₀ and the spread of the differences so far, pooled. Predictable: used for the next pair only."""
        measured = self.measured
        if len(measured) < 2:
            return self.plan.sigma0_bpb
        mean = fmean(measured)
        squares = SCALE_PRIOR_DF * self.plan.sigma0_bpb**2 + sum((x - mean) ** 2 for x in measured)
        return math.sqrt(squares / (SCALE_PRIOR_DF + len(measured) - 1))

    def add(self, difference: float | None) -> Evidence:
        """The state after one more pair. A tie, or a pair without a number, leaves E as it was (or a little less, by
        rounding) and a pair fewer to come. Raises RequestError."""
        if self.n >= self.plan.max_pairs:
            raise RequestError("judge.too_many_pairs", "differences", f"the plan ends at {self.plan.max_pairs} pairs")
        if difference is not None and not math.isfinite(difference):
            raise RequestError("judge.not_a_number", "differences", "a failed run has no score", got=difference)
        net = 0.0 if difference is None else difference - self.plan.min_effect_bpb
        plus, minus = split(self.left, self.plan.max_pairs - self.n, abs(net) / self.scale_bpb)
        return Evidence(self.plan, (*self.differences, difference), plus if net > 0.0 else minus)

    def to_json(self) -> dict[str, Any]:
        return {"plan": asdict(self.plan), "differences": list(self.differences), "evidence": self.e_value}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Evidence:
        """The state that `to_json` wrote, computed again from its plan and differences."""
        return cls.of(Plan(**value["plan"]), value["differences"])


@dataclass(frozen=True)
class Decision:
    """`continue`, or how the test ended and why."""

    word: Word
    reason: str


def split(left: int, remaining: int, size: float) -> tuple[int, int]:
    """How many of `left` winners stay if this difference proves positive, and how many if it does not.

    remaining: pairs to come, this one included; size: |difference| in standard deviations, ≥ 0. Fair: the two add up
    to `left`. Monotone: the first grows with size, so the second falls, which extends the guarantee from m = 0 to
    m < 0. The shares are those of a sum of `remaining` standard normals that has to end above a threshold: given
    this step ± size, the chance of ending above it (Doob's transform of the z-test). Under normal noise its power is
    within .01 of the best split there is, found by backward induction (docs/verdicts.md).
    """
    half = 1 << (remaining - 1)
    plus = left
    if remaining > 1 and left > 0:
        to_go = math.sqrt(remaining) * _NORMAL.inv_cdf(min(left / (2 * half), _ALMOST_ONE))
        step = math.sqrt(remaining - 1)
        up, down = _below((to_go + size) / step), _below((to_go - size) / step)
        plus = round(left * (up / (up + down)))
    plus = min(max(plus, (left + 1) // 2), left, half)
    return plus, left - plus


def decide(evidence: Evidence) -> Decision:
    """The stopping rules. Stopping early without a promotion can only lose power, never inflate α: every rule but the
    first ends a process that had not reached 1/α."""
    plan = evidence.plan
    if evidence.n >= plan.min_pairs and promotes(evidence):
        return Decision("better", f"E = {evidence.e_value:.3g} reached 1/α = {1 / plan.alpha:.3g}")
    if evidence.left == 0:
        reason = f"1/α = {1 / plan.alpha:.3g} is out of reach after {evidence.n} of {plan.max_pairs} pairs"
    elif evidence.n == plan.max_pairs:
        reason = f"E = {evidence.e_value:.3g} stayed below 1/α = {1 / plan.alpha:.3g} for {plan.max_pairs} pairs"
    else:
        return Decision("continue", f"E = {evidence.e_value:.3g}, 1/α = {1 / plan.alpha:.3g}")
    limit, relevant = upper_limit_bpb(evidence), relevant_bpb(evidence)
    if limit is not None and limit - plan.min_effect_bpb < relevant:
        return Decision("not_better", f"{reason}; effects above {limit:.4g} bpb are unlikely")
    return Decision("underpowered", f"{reason}; effects below {relevant:.4g} bpb may hide in the noise")


def certify(plan: Plan, differences: Iterable[float | None]) -> tuple[Evidence, Decision]:
    """The evidence and the decision at the first stopping time; what comes after it is not looked at."""
    evidence = Evidence.start(plan)
    decision = decide(evidence)
    for difference in differences:
        if decision.word != "continue":
            break
        evidence = evidence.add(difference)
        decision = decide(evidence)
    return evidence, decision


def promotes(evidence: Evidence) -> bool:
    """E_n ≥ 1/α, in whole numbers but for α itself."""
    return evidence.left * 2**evidence.n * evidence.plan.alpha >= evidence.plan.winners


def fewest_pairs(alpha: float) -> int:
    """The pairs that reach 1/α when all of them are won: ⌈log₂ 1/α⌉."""
    pairs = math.ceil(math.log2(1.0 / alpha))
    return pairs if math.floor(alpha * 2**pairs) else pairs + 1


def interval_bpb(evidence: Evidence, level: float = 0.95) -> tuple[float, float] | None:
    """A two-sided interval for the mean difference; None before the first measured pair.

    mean ± t · s/√n, s pooled with σ₀ (four degrees of freedom). Valid for normal noise, σ₀ about right and n fixed;
    the stopping rule moves the coverage, which docs/verdicts.md measures. The decision does not rest on it.
    """
    reach = _reach_bpb(evidence, 0.5 + level / 2)
    if reach is None:
        return None
    mean = fmean(evidence.measured)
    return mean - reach, mean + reach


def upper_limit_bpb(evidence: Evidence, level: float = 0.95) -> float | None:
    """One-sided: effects above it are unlikely. Valid as `interval_bpb` is."""
    reach = _reach_bpb(evidence, level)
    return None if reach is None else fmean(evidence.measured) + reach


def certified_bpb(evidence: Evidence) -> float | None:
    """The largest effect that the same test, at the same α, would have promoted past; None for one not promoted.

    Inverts the test: the largest m such that the differences less m still promote; `split` is monotone in the winners
    left as in the size, so those m are an interval and bisection finds its end. P(certified ≥ centre) ≤ α, by the
    same proof.
    """
    if not _promoted(evidence, 0.0):
        return None
    low, high = 0.0, max(evidence.measured) - evidence.plan.min_effect_bpb
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if _promoted(evidence, middle) else (low, middle)
    return low + evidence.plan.min_effect_bpb


def relevant_bpb(evidence: Evidence) -> float:
    """The effect above δ_min that `underpowered` speaks of: the plan's own, else what it sees with 80 % power."""
    if evidence.plan.relevant_bpb is not None:
        return evidence.plan.relevant_bpb
    from foundry.stats.power import smallest_effect  # numpy and scipy, only when a test ends without a promotion

    return smallest_effect(evidence.plan.winners, evidence.plan.max_pairs) * evidence.scale_bpb


def _promoted(evidence: Evidence, shift_bpb: float) -> bool:
    """Whether the same pairs, each difference less `shift_bpb`, would have promoted by now."""
    state = Evidence.start(evidence.plan)
    for difference in evidence.differences:
        state = state.add(None if difference is None else difference - shift_bpb)
        if state.n >= state.plan.min_pairs and promotes(state):
            return True
    return False


def _reach_bpb(evidence: Evidence, quantile: float) -> float | None:
    n = len(evidence.measured)
    if n == 0:
        return None
    from scipy.special import stdtrit  # lazily: scipy takes longer to import than a whole test to decide

    return float(stdtrit(SCALE_PRIOR_DF + n - 1, quantile)) * evidence.scale_bpb / math.sqrt(n)


def _below(z: float) -> float:
    """The standard normal's chance of being below z, accurate far into the tail."""
    return 0.5 * math.erfc(-z / math.sqrt(2.0))
