"""Of screening: what `sweep` answers."""

from __future__ import annotations

from typing import Literal

from foundry.documents.comparison import Comparison, Tuning
from foundry.documents.document import Document, Foreign, Integer
from foundry.documents.runs import Record, Trained


class SweptBaseline(Document):
    name: str
    file: str
    recipe: str
    val_bpb: float | None
    budget_tokens: int
    budget_flops: Integer


class Candidate(Document):
    """A candidate's row in the screening; null where it never came to train."""

    name: str
    mutation: str
    status: Literal["done", "failed"]
    reason: str | None
    detail: Foreign
    val_bpb: float | None = None
    gain_bpb: float | None = None
    recipe: str | None = None
    match: str | None = None
    budget_tokens: int | None = None
    budget_flops: Integer | None = None
    seconds: float | None = None
    runs: tuple[Trained, ...] = ()


class Sweep(Document):
    """unchanged: mutations that are the baseline already; settled: what had to be finished before; against_tuned: the
    verdict against the baseline at its best learning rate; why: the reason where nothing is promoted."""

    baseline: SweptBaseline
    candidates: tuple[Candidate, ...]
    all_refused: bool
    unchanged: tuple[str, ...]
    settled: tuple[Foreign, ...]
    tuning: Tuning | None
    against_tuned: Comparison | None = None
    verdict: Comparison | None = None
    promoted: str | None = None
    promotion: str | None = None
    record: Record | None = None
    why: Foreign = ""
