"""Of comparisons: what `compare` and `show COMPARISON` answer, and what is kept in the ledger of a verdict."""

from __future__ import annotations

from typing import Any

from foundry.documents.document import Document, Foreign, Integer, Interval, Ours


class Cost(Document):
    tokens: int
    flops: float
    seconds: float


class ArmRun(Document):
    """status: `done`, or why it failed."""

    run: str
    seed: Integer
    status: str
    val_bpb: float | None


class Reference(Document):
    """The track's reference compute in this arm's tokens and in FLOPs, and the steps that the arm has beyond it."""

    tokens: float
    flops: float
    steps_beyond: float


class Arm(Document):
    """One side of a comparison; `cost` is that of all its runs, tuning included."""

    name: str
    recipe: str
    runs: tuple[ArmRun, ...]
    cost: Cost
    budget_tokens: int
    budget_flops: Integer
    run_seconds: float | None
    reference: Reference | None = None


class Remeasured(Document):
    """The effect on pairs that decided nothing."""

    effect_bpb: float
    interval_bpb: Interval
    n: int


class Plan(Document):
    """What was fixed before the first pair."""

    alpha: float
    sigma0_bpb: float
    max_pairs: int
    min_pairs: int
    min_effect_bpb: float
    relevant_bpb: float | None


class Guard(Document):
    """A check that may block a promotion."""

    name: str
    passed: bool
    detail: Foreign


class Timing(Document):
    baseline_step_seconds: float
    candidate_step_seconds: float
    drift: float


class Calibration(Document):
    """The timing that a match in seconds rests on, and the drift of those that were void before it."""

    id: str
    timing: Timing
    voided_drifts: tuple[float, ...]
    run_seconds: tuple[float, ...]
    on: dict[str, Any]


class Try(Document):
    factor: float
    recipe: str | None
    val_bpb: float | None
    reason: str | None


class TunedArm(Document):
    """An arm's tries; `tuned` is the recipe at the factor that was kept."""

    name: str
    recipe: str
    tuned: str
    factor: float
    tries: tuple[Try, ...]
    cost: Cost


class Tuning(Document):
    field: str
    grid: tuple[float, ...]
    seeds: tuple[int, ...]
    arms: tuple[TunedArm, ...]


class Budgeted(Document):
    """What a test spent of the error budget."""

    season: int
    test: int
    alpha: float
    promotions_known: int


class SecondText(Document):
    """Of a promotion of code: whether its gain is there on another text too. reason: null where it is, else `one_text`
    or `no_second_text`; comparison: the verdict there."""

    source: str | None
    reason: str | None
    says: Foreign
    comparison: str | None
    verdict: str | None
    effect_bpb: float | None
    interval_bpb: Interval | None
    n: int
    flops: float


class Comparison(Document):
    """A verdict, what it rests on, and under what terms it was given. Effects are baseline minus candidate.

    certified_bpb: at least so much, at the rate α; smallest_effect_bpb: what an `underpowered` test could have missed;
    used: what a run of the candidate takes of each currency, as a multiple of the baseline's; asked: how often this
    pair was, null for a certification, which the error budget corrects; carried: CPU seconds for each counted FLOP of
    the candidate's line of code, as a multiple of what the line began with."""

    comparison: str
    kind: str
    verdict: str
    says: Foreign
    effect_bpb: float | None
    interval_bpb: Interval | None
    n: int
    evidence: float | None
    alpha: float
    match: str
    arms: tuple[Arm, Arm]
    differences: tuple[float | None, ...]
    certified_bpb: float | None
    smallest_effect_bpb: float | None
    correlation: float | None
    remeasured: Remeasured | None
    plan: Plan
    guards: tuple[Guard, ...]
    reasons: tuple[Foreign, ...]
    used: dict[str, float | None]
    caveat: Ours
    calibration: Calibration | None
    tuning: Tuning | None
    split: str
    seeds: tuple[Integer, ...]
    remeasured_seeds: tuple[Integer, ...]
    budget: Budgeted | None
    report: Ours
    carried: float = 1.0
    second_text: SecondText | None = None
    corrected: bool = True
    asked: int | None = None


class Comparisons(Document):
    """Several candidates against one baseline, each by itself at its rate: nothing corrects for how many there are."""

    comparisons: tuple[Comparison, ...]


class ComparisonShown(Comparison):
    """comparison_kind: `compare`, `certify` or `not_worse`; key: the content of what was asked, `attempt` how often."""

    comparison_kind: str = ""
    baseline_recipe: str = ""
    candidate_recipe: str = ""
    key: str = ""
    attempt: int = 0
    created_unix: float = 0.0
