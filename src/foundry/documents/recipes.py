"""Of recipes and their parts: what `mutate`, `kinds`, `data`, `check`, `adopt`, `rebuild` and `sample` answer."""

from __future__ import annotations

from typing import Any

from foundry.documents.document import Document, Foreign, Ours
from foundry.documents.runs import Edit


class Variant(Document):
    """what: of a part of the workspace, whose docstring is its author's, under `says`."""

    name: str
    what: Ours
    says: Foreign = ""


class Family(Document):
    """also: what else may be given than the variants."""

    family: str
    short: str
    what: Ours
    also: Ours
    variants: tuple[Variant, ...]


class Catalogue(Document):
    """What can be mutated."""

    families: tuple[Family, ...]


class Mutated(Document):
    """A mutated recipe in a file."""

    file: str
    baseline: str
    mutation: str
    recipe: str
    edits: tuple[Edit, ...]


class Kinds(Document):
    """Slot → kind → what it is; `workspace` the same of parts there, in the words of their authors."""

    slots: dict[str, dict[str, Ours]]
    workspace: dict[str, dict[str, Foreign]]


class PassedOver(Document):
    null: int
    bad: int
    first_bad: Foreign


class SplitCounts(Document):
    """dropped: by the filter, of training documents alone."""

    documents: int
    bytes: int
    tokens: int
    dropped_documents: int | None = None
    dropped_bytes: int | None = None
    stretches: int | None = None


class Initialized(Document):
    """A project that was started; `next` has the commands that follow."""

    folder: Ours
    source: str
    files: tuple[str, ...]
    next: tuple[Ours, ...]


class Skill(Document):
    """How an agent works with Foundry; file: where it was put, null where that wasn't asked for."""

    text: Ours
    file: Ours | None


class Prepared(Document):
    """Data that is ready to train on; `next` has the commands that do."""

    source: str
    filter: dict[str, Any]
    tokenizer: dict[str, Any]
    passed_over: PassedOver
    piece_bytes: int
    splits: dict[str, SplitCounts]
    vocab_size: int
    bytes_per_token: float
    hash: str
    judged_hash: str
    train_dir: Ours
    judge_dir: Ours
    next: tuple[Ours, ...] = ()


class Fault(Document):
    """contract: where the clause stands; line: of the checked file."""

    clause: str
    contract: str
    says: Ours
    seen: Foreign
    line: int | None
    mend: Ours = ""


class Checked(Document):
    """Whether workspace code would hold: clauses that passed, and what it breaks."""

    file: str
    slot: str
    kind: str
    ok: bool
    passed: tuple[str, ...]
    faults: tuple[Fault, ...]
    printed: Foreign
    tier: str
    seconds: float


class Measured(Document):
    """A verdict on a recipe with this very source."""

    verdict: str
    effect_bpb: float | None
    n: int | None
    kind: str | None
    report: Ours | None


class Adoptable(Document):
    """What a person is to see before a workspace part moves into the package; promotion: the one that it came with."""

    slot: str
    kind: str
    from_: str
    to: str
    source: Foreign
    measured: tuple[Measured, ...]
    promotion: str | None
    trust: Ours


class Adopted(Adoptable):
    """commit: the command that keeps it."""

    commit: Ours


class Rebuilt(Document):
    """A recorded recipe and its code, in files again."""

    recipe: str
    files: tuple[str, ...]
    workspace: Ours


class Sampled(Document):
    run: str
    prompt: Foreign
    text: Foreign
