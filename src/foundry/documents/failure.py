"""Of what went wrong: what every verb answers in its place."""

from __future__ import annotations

from typing import Any, Self

from foundry.core.errors import FoundryError
from foundry.documents.document import Document, Foreign, Ours


class Error(Document):
    """code: for programs; path: where; got and choices: what was given and what is allowed; hint: how to mend it."""

    code: str
    path: str
    message: Foreign
    got: Any
    choices: tuple[str, ...]
    hint: Ours


class Failure(Document):
    error: Error

    @classmethod
    def of(cls, error: FoundryError) -> Self:
        return cls(error=Error.from_dict(error.plain()))
