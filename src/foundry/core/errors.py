"""One kind of error for every room: a code, where, what was given, what is allowed, how to mend it.

`RequestError` is the caller's to mend (exit code 2), `WorkError` is work that failed (exit code 1).
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any


class FoundryError(Exception):
    """An error that prints as one line and serializes as one JSON object."""

    exit_code = 1

    def __init__(
        self,
        code: str,
        path: str = "",
        message: str = "",
        *,
        got: Any = None,
        choices: Sequence[str] = (),
        hint: str = "",
    ) -> None:
        super().__init__(code, path, message)
        self.code, self.path, self.message = code, path, message
        self.got, self.choices = got, tuple(str(choice) for choice in choices)
        self.hint = hint or nearest(got, self.choices)

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        text = f"[{self.code}] {where}{self.message}"
        if self.choices:
            shown = self.choices if len(self.choices) <= 24 else (*self.choices[:24], "…")
            text += f" (choices: {', '.join(shown)})"
        if self.hint:
            text += f"; {self.hint}"
        return " ".join(text.split())  # one line, whatever was put in

    def under(self, prefix: str) -> FoundryError:
        """The same error, its path moved below `prefix`."""
        self.path = ".".join(part for part in (prefix, self.path) if part)
        return self

    def to_json(self) -> dict[str, Any]:
        return {
            "error": {
                "code": self.code,
                "path": self.path,
                "message": self.message,
                "got": self.got if isinstance(self.got, (str, int, float, bool, type(None))) else repr(self.got),
                "choices": list(self.choices),
                "hint": self.hint,
            }
        }


class RequestError(FoundryError):
    """The request was wrong; nothing was changed."""

    exit_code = 2


class WorkError(FoundryError):
    """The request was right and the work failed."""

    exit_code = 1


def nearest(got: Any, choices: Sequence[str]) -> str:
    """`did you mean 'gqa'?` when one of `choices` is close to what was given, else nothing."""
    match = difflib.get_close_matches(str(got), choices, n=1, cutoff=0.5) if got is not None else []
    return f"did you mean '{match[0]}'?" if match else ""


REASONS = ("nan", "oom", "timeout", "crash", "leak", "invalid")


class RunFailure(Exception):
    """A run that ended without a result, and why. Never a number."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        if reason not in REASONS:
            raise ValueError(f"unknown failure reason {reason!r}")
        self.reason, self.detail = reason, detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else self.reason
