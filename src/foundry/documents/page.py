"""Of the page: what the static report and the live page show, and what `report` and `serve` answer."""

from __future__ import annotations

from foundry.documents.budget import Budget
from foundry.documents.document import Document, Foreign, Integer, Interval, Ours
from foundry.documents.runs import Edit


class Champion(Document):
    """The recipe to beat, and how sure that is. gain_bpb: over the line's start, the sum of the effects measured again,
    `pairs` in all; interval_bpb is the sum's, the measurements being independent; flatters: one of them at least is of
    pairs that decided, and not measured again yet; q: the rate of false promotions."""

    recipe: str
    name: str
    file: str
    mutation: str
    kind: str
    since_unix: float
    since_runs: int
    promotions: int
    gain_bpb: float | None
    interval_bpb: Interval | None
    pairs: int
    start_bpb: float | None
    bpb: float | None
    last_effect_bpb: float | None
    last_interval_bpb: Interval | None
    flatters: bool
    control: str
    q: float


class Spent(Document):
    runs: int
    failed: int
    flops: float
    seconds: float
    since_unix: float | None
    until_unix: float | None


class Stair(Document):
    """An entry of the champion's line at the compute that was spent until then. bpb: the start's mean on validation
    text, less the effects measured again; interval_bpb: of `bpb`, the start's taken as given; flatters: its effect is
    that of the pairs that decided, and not measured again yet, or not by itself."""

    flops: float
    bpb: float | None
    interval_bpb: Interval | None
    recipe: str
    mutation: str
    kind: str
    promotion: str
    effect_bpb: float | None
    effect_interval_bpb: Interval | None
    n: int | None
    flatters: bool
    created_unix: float
    reverted: bool


class Tried(Document):
    """Recipes that were trained on the full budget and are no champion, in columns: compute spent until then, mean
    score. `of` counts all that there are."""

    flops: tuple[float, ...]
    bpb: tuple[float, ...]
    names: tuple[str, ...]
    of: int


class Curve(Document):
    """A training loss, thinned to what a picture shows. role: `champion`, `running` or `finished`."""

    run: str
    recipe: str
    name: str
    seed: Integer
    role: str
    steps: tuple[int, ...]
    losses: tuple[float, ...]
    of_steps: int | None
    bpb: float | None


class Running(Document):
    """A run that a living process has. stage: `training` or `judging`."""

    run: str
    recipe: str
    name: str
    seed: Integer
    stage: str
    tokens: int
    budget_tokens: int
    step: int | None
    loss: float | None
    eta_seconds: float | None
    since_unix: float | None
    device: Ours | None


class Waiting(Document):
    """A proposal in the queue."""

    proposal: int
    mutation: str
    who: Foreign
    why: Foreign


class Loop(Document):
    """What a campaign is at. at: `round`, `court`, `between`, or `` where none was ever begun; trying: its words."""

    alive: bool
    at: str
    trying: tuple[str, ...]
    rounds: int
    runs: int
    asked_runs: int | None
    hours: float
    asked_hours: float | None
    flops: float
    asked_flops: float | None
    eta_seconds: float | None


class Decision(Document):
    """tone: `good`, `bad`, `plain`; candidate: the row that it is of."""

    created_unix: float
    text: Foreign
    tone: str
    candidate: str


class Candidate(Document):
    """A row of the table: a trial of a campaign's screening, a comparison, or runs that nobody has compared yet.

    stage: `screening`, `certify`, `compare`, `not_worse`, `second_text`, `remeasure` or `runs`; share: of the full
    budget; flops: what it took; n: pairs of runs; flatters: what is better, by the pairs that decided alone."""

    candidate: str
    created_unix: float
    name: str
    stage: str
    outcome: str
    effect_bpb: float | None
    low_bpb: float | None
    high_bpb: float | None
    n: int
    share: float | None
    evidence: float | None
    flops: float | None
    by: str
    why: Foreign
    reason: Foreign
    recipe: str
    flatters: bool = False


class Candidates(Document):
    rows: tuple[Candidate, ...]
    total: int
    offset: int


class Pair(Document):
    seed: Integer
    baseline_bpb: float | None
    candidate_bpb: float | None
    gain_bpb: float | None


class CandidateShown(Document):
    """A row opened: what its recipe changes, and its runs beside the baseline's on the same seeds."""

    candidate: str
    against: str
    against_recipe: str
    edits: tuple[Edit, ...]
    more_edits: int
    pairs: tuple[Pair, ...]
    says: Foreign
    notes: tuple[Foreign, ...]


class Effect(Document):
    """The best evidence on one mutation alone. sure: whether a comparison or fresh seeds stand behind it, and not the
    screening that chose it."""

    family: str
    mutation: str
    effect_bpb: float
    low_bpb: float
    high_bpb: float
    n: int
    stage: str
    sure: bool
    candidate: str


class Failed(Document):
    run: str
    name: str
    reason: str
    detail: Foreign
    created_unix: float


class Failures(Document):
    """The latest, and how many there are by reason."""

    by_reason: dict[str, int]
    latest: tuple[Failed, ...]


class Fact(Document):
    name: Ours
    value: Foreign


class Page(Document):
    """All that the page shows at once. empty: nothing has run yet; campaigns: the others that may be asked for."""

    campaign: str
    campaigns: tuple[str, ...]
    made_unix: float
    version: str
    empty: bool
    champion: Champion | None
    spent: Spent
    stairs: tuple[Stair, ...]
    tried: Tried
    curves: tuple[Curve, ...]
    running: tuple[Running, ...]
    loop: Loop
    queued_runs: int
    waiting: tuple[Waiting, ...]
    waiting_of: int
    decisions: tuple[Decision, ...]
    budget: Budget
    effects: tuple[Effect, ...]
    failures: Failures
    facts: tuple[Fact, ...]


class Reported(Document):
    """What `report` wrote. candidates: rows in the file, of candidates_of in the ledger."""

    html: Ours
    card: Ours | None
    bytes: int
    campaign: str
    runs: int
    candidates: int
    candidates_of: int


class Served(Document):
    """Where the page is while the command runs."""

    url: str
    host: str
    port: int
    campaign: str
