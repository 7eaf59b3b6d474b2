"""Of the endless loop: what `campaign`, `history`, `propose`, `proposals` and `reproduce` answer."""

from __future__ import annotations

from foundry.documents.document import Document, Foreign, Integer, Interval, Ours
from foundry.documents.runs import Edit


class Spent(Document):
    runs: int
    flops: float
    hours: float


class Promoted(Document):
    """A standing promotion, with the effect measured again over `measured_from`, null before that; flattering: of the
    pairs that decided."""

    promotion: str
    mutation: str
    comparison: str | None
    effect_bpb: float | None
    interval_bpb: Interval | None
    n: int | None
    measured_from: str | None
    flattering_effect_bpb: float | None
    flattering_interval_bpb: Interval | None
    from_recipe: str | None
    to_recipe: str


class MeasuredAgain(Document):
    """The last time that a campaign measured its champion again: on `n` pairs that decided nothing, over the champion
    before the promotions that weren't measured again yet. held: false where these were taken back for it."""

    comparison: str
    from_recipe: str
    to_recipe: str
    verdict: str
    effect_bpb: float | None
    interval_bpb: Interval | None
    n: int
    held: bool


class Provisional(Document):
    """What the frontier has beyond the champion, on evidence that decides nothing."""

    mutations: tuple[str, ...]
    claimed_bpb: float


class Campaign(Document):
    """this_command counts from the command's start, the rest from the campaign's; ended: `over`, `exhausted` or
    `remeasured`; waiting: what the limit cut, for the next command; strategies: the share of each in what is asked
    next; measured_again: null before the first time."""

    baseline: str
    file: str
    champion: str
    frontier: str
    ended: str
    waiting: Ours
    this_command: Spent
    runs: int
    flops: float
    hours: float
    rounds: int
    candidates: int
    certifications: int
    promotions: tuple[Promoted, ...]
    measured_again: MeasuredAgain | None
    provisional: Provisional
    strategies: dict[str, float]


class Trial(Document):
    """A candidate of a round, or what became of a proposal. Its gain is against the frontier of its time, on
    `budget_share` of the budget."""

    mutation: str | None = None
    recipe: str | None = None
    by: str | None = None
    why: Foreign | None = None
    proposal: int | None = None
    status: str | None = None
    reason: Foreign = ""
    gain_bpb: float | None = None
    interval_bpb: Interval | None = None
    budget_share: float | None = None
    fresh_gains_bpb: tuple[float, ...] | None = None
    flops: float | None = None


class Refused(Document):
    """An idea that didn't hold, and why."""

    mutation: str
    code: str
    why: Foreign


class Question(Document):
    """What came of asking a command or a model for ideas. filled_by: the strategy that proposed in its place; null: it
    had one that holds."""

    by: str
    tries: int
    requests: int
    tokens: int
    failed: tuple[Foreign, ...]
    refused: tuple[Refused, ...]
    filled_by: str | None


class Asked(Document):
    """A mutation that a strategy would try next, and the recipe that it makes."""

    mutation: str
    by: str
    why: Foreign
    recipe: str
    edits: tuple[Edit, ...]


class Certification(Document):
    """What was put to the test: a bundle, or the champion without a part of one. `n` is the pairs
    that decided; of what they found better their effect flatters, and it has no other before it is measured again."""

    mutations: tuple[str, ...]
    recipe: str | None
    verdict: str
    margin_bpb: float
    claimed_bpb: float | None
    effect_bpb: float | None
    interval_bpb: Interval | None
    flattering_effect_bpb: float | None
    flattering_interval_bpb: Interval | None
    n: int
    comparison: str | None
    promotion: str | None


class _Tried(Document):
    """`tried` is accepted, failed and out together; a stack's trial is counted with each that is in it."""

    tried: int
    alone: int
    accepted: int
    failed: int
    out: int
    certified_bpb: float
    mean_gain_bpb: float | None


class FamilyTried(_Tried):
    family: str


class MutationTried(_Tried):
    mutation: str


class Totals(Document):
    """Of all there is, whatever was asked for."""

    trials: int
    trials_by_status: dict[str, int]
    certifications: int
    certifications_by_verdict: dict[str, int]
    mutations: int
    proposals: int
    proposals_by_status: dict[str, int]


class Proposed(Document):
    """A proposal that was queued, and how many wait."""

    proposal: int
    mutation: str
    why: Foreign
    who: Foreign
    waiting: int


class Proposal(Document):
    """result: what became of it, null before that."""

    proposal: int
    mutation: str
    why: Foreign
    who: Foreign
    status: str
    result: Trial | None


class Proposals(Document):
    proposals: tuple[Proposal, ...]
    more: bool
    waiting: int


class History(Document):
    """What campaigns tried and asked others, newest first, and which families and mutations pay, the best first; `more`
    where there are older trials, certifications or proposals."""

    more: bool
    trials: tuple[Trial, ...]
    asked: tuple[Question, ...]
    certifications: tuple[Certification, ...]
    families: tuple[FamilyTried, ...]
    mutations: tuple[MutationTried, ...]
    proposals: tuple[Proposal, ...]
    totals: Totals


class ReproducedRun(Document):
    """device: as recorded, and again."""

    arm: str
    run: str
    seed: Integer
    recorded_bpb: float
    again_bpb: float | None
    status: str
    equal: bool
    device: tuple[Ours | None, Ours | None]


class Reproduced(Document):
    promotion: str
    mutation: str
    comparison: str
    recorded_effect_bpb: float
    recorded_interval_bpb: Interval
    effect_bpb: float | None
    pairs: int
    bit_for_bit: bool
    within_interval: bool
    reproduced: bool
    runs: tuple[ReproducedRun, ...]
