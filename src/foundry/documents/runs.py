"""Of runs, recipes and promotions: what `train`, `log`, `show`, `lineage` and `diff` answer."""

from __future__ import annotations

from typing import Any, Literal

from foundry.documents.comparison import Budgeted, Reference, Remeasured, SecondText
from foundry.documents.document import Document, Foreign, Integer, Interval, Ours


class Trained(Document):
    """A run with its score on one judged split, or its typed failure; never both."""

    run: str
    status: str
    reason: str | None
    detail: Foreign
    train_loss: float | None
    tokens: int | None
    flops: float | None
    seconds: float | None
    device: Ours | None
    seed: Integer
    recipe: str
    val_bpb: float | None = None
    certification_bpb: float | None = None
    test_bpb: float | None = None


class _Recorded(Document):
    """A run as the ledger has it; `kept` says who wants its weights."""

    run: str
    recipe: str
    name: str
    seed: Integer
    budget_tokens: int
    data_hash: str
    judged_hash: str
    status: str
    reason: str | None
    detail: Foreign
    val_bpb: float | None
    certification_bpb: float | None
    train_loss: float | None
    tokens: int | None
    flops: float | None
    steps: int | None
    seconds: float | None
    device: Ours | None
    tier: str | None
    attempts: int
    limits: dict[str, float] | None
    kept: str
    weights_bytes: int
    created_unix: float
    started_unix: float | None
    finished_unix: float | None


class RunRow(_Recorded):
    """A run in a list; `code` is the id of the code that trained it."""

    code: str | None


class Weights(Document):
    """How many runs have weights on the disk, and what these take."""

    runs: int
    bytes: int


class Log(Document):
    """The latest runs, newest first; `more` where there are older ones, `filtered` where not all were asked for."""

    runs: tuple[RunRow, ...]
    more: bool
    weights: Weights
    filtered: bool


class RunCode(Document):
    """files: file or library → fingerprint; changed: those that are another today, null where none are on record."""

    code: str | None
    files: dict[str, str] | None
    changed: tuple[str, ...] | None


class RunScore(Document):
    split: str
    bpb: float
    bytes: int
    tokens: int
    seconds: float
    probes: dict[str, Any]
    protocol: str
    created_unix: float


class SplitRead(Document):
    """A read of a sealed split, and what for."""

    split: str
    purpose: str
    season: int
    created_unix: float


class RunFile(Document):
    file: str
    bytes: int


class CurvePoint(Document):
    step: int
    loss: float


class RunShown(_Recorded):
    """All that is known of a run; `content` is its recipe."""

    code: RunCode
    scores: tuple[RunScore, ...]
    split_reads: tuple[SplitRead, ...]
    content: dict[str, Any]
    folder: Ours
    files: tuple[RunFile, ...]
    curve: tuple[CurvePoint, ...]
    kind: Literal["run"] = "run"


class Source(Document):
    """Workspace code of a recipe, as it was hashed."""

    hash: str
    file: str
    text: Foreign


class ComparisonRow(Document):
    comparison: str
    kind: str


class RecipeShown(Document):
    """A recipe with its latest runs and the comparisons that it was the candidate of."""

    recipe: str
    name: str
    content: dict[str, Any]
    sources: dict[str, Source]
    created_unix: float
    runs: tuple[RunRow, ...] = ()
    comparisons: tuple[ComparisonRow, ...] = ()
    kind: Literal["recipe"] = "recipe"


class Edit(Document):
    """`path` of a recipe, dotted, from `old` to `new`."""

    path: str
    old: Any
    new: Any


class Diff(Document):
    edits: tuple[Edit, ...]


class Record(Document):
    """What a promotion rests on; its `effect_bpb` is that of the deciding pairs, whose mean flatters. All null for an
    entry that no test stands behind."""

    effect_bpb: float | None = None
    interval_bpb: Interval | None = None
    n: int | None = None
    evidence: float | None = None
    alpha: float | None = None
    seeds: tuple[Integer, ...] = ()
    split: str | None = None
    budget: Budgeted | None = None
    remeasured: Remeasured | None = None
    second_text: SecondText | None = None
    reference: Reference | None = None
    test_bpb: tuple[float | None, ...] | None = None
    test_why: Foreign = ""


class _Promotion(Document):
    """An entry of a lineage; its effect is the one measured again, on `n` pairs that decided nothing, over the recipe
    `measured_from`: what it replaced, or an earlier champion where a campaign measured several promotions again
    together, with the last. All four are null before that, and for the others of several. flattering: of the pairs that
    decided, whose mean flatters what won."""

    promotion: str
    track: str
    from_recipe: str | None
    to_recipe: str
    mutation: str
    comparison: str | None
    record: Record
    effect_bpb: float | None
    interval_bpb: Interval | None
    n: int | None
    measured_from: str | None
    flattering_effect_bpb: float | None
    flattering_interval_bpb: Interval | None
    created_unix: float
    written_unix: float | None
    reverted_unix: float | None


class PromotionRow(_Promotion):
    """kind: `adopt`, `promote` or `revert`."""

    kind: str


class PromotionShown(_Promotion):
    promotion_kind: str
    old_text: Foreign
    new_text: Foreign
    edits: tuple[Edit, ...]
    kind: Literal["promotion"] = "promotion"


class Lineage(Document):
    """How the champion of a baseline file came to be, oldest first; `more` where older ones weren't asked for."""

    track: str
    promotions: tuple[PromotionRow, ...]
    more: bool
