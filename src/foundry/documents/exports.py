"""Of models that leave and come in: what `export` and `import` answer."""

from __future__ import annotations

from foundry.documents.document import Document, Ours


class ExportTarget(Document):
    """A class of transformers; why_not: null where it computes the run's model."""

    format: str
    architecture: str
    why_not: Ours | None


class ExportTargets(Document):
    run: str
    recipe: str
    name: str
    targets: tuple[ExportTarget, ...]


class Verification(Document):
    """Of a folder loaded by transformers in a process of its own, against the run. Tokens after one that won by less
    than a thousandth aren't compared, and of bf16 no tokens decide."""

    ok: bool
    max_logit_difference: float
    limit: float
    greedy_tokens: int
    greedy_equal: bool
    ids_equal: bool
    architecture: str
    transformers: str
    seconds: float


class Exported(Document):
    """weights: `average` or `last`; needs_foundry: loading takes `trust_remote_code` and Foundry; verified: null where
    nobody asked."""

    folder: Ours
    format: str
    architecture: str
    run: str
    recipe: str
    name: str
    dtype: str
    weights: str
    needs_foundry: bool
    parameters: int
    files: dict[str, int]
    verified: Verification | None
    next: tuple[Ours, ...]


class Imported(Document):
    """A recipe that begins with foreign weights; hash: theirs, part of its identity; format: a class of the table."""

    file: str
    recipe: str
    format: str
    weights: str
    hash: str
    tokenizer: str | None
    parameters: int
    next: tuple[Ours, ...]
