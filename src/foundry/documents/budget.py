"""Of the error budget and the record: what `budget`, `verify` and `revert` answer."""

from __future__ import annotations

from foundry.documents.document import Document, Foreign


class NextTest(Document):
    alpha: float
    pairs: int
    opens_a_season: bool


class Season(Document):
    """What a stream of the error budget has spent and has left; each promotion counted once."""

    season: int
    control: str
    q: float
    spent: float
    left: float
    tests: int
    promotions: int
    next: NextTest
    tests_left_without_a_promotion: int
    opened_by: str | None = None
    opened_unix: float | None = None
    why: Foreign = ""


class Budget(Season):
    """The season of `better`; under `streams` the same of each stream that has one."""

    streams: dict[str, Season] | None = None
    open_tests: tuple[str, ...] = ()
    test_split_reads: int = 0


class Break(Document):
    code: str
    at: str
    message: Foreign


class Verified(Document):
    """head_found: null where no head was asked for; signed: whether the key is here, and with it the signatures were
    checked; unsealed: entries of the lineage from a time without seals."""

    ok: bool
    head: str | None
    head_found: bool | None
    seals: int
    signed: bool
    promotions: int
    unsealed: tuple[str, ...]
    comparisons: int
    breaks: tuple[Break, ...]
    notes: tuple[Foreign, ...]


class Reverted(Document):
    promotion: str
    from_recipe: str
    to_recipe: str
    file: str
    settled: tuple[Foreign, ...]
