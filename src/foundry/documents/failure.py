"""Of what went wrong: what every verb answers in its place."""

from __future__ import annotations

from typing import Any

from foundry.documents.document import Document


class Error(Document):
    """code: for programs; path: where; got and choices: what was given and what is allowed; hint: how to mend it."""

    code: str
    path: str
    message: str
    got: Any
    choices: tuple[str, ...]
    hint: str


class Failure(Document):
    error: Error
