"""One kind of error for every room: a code, where, what was given, what is allowed, how to mend it.

`RequestError` is the caller's to mend (exit code 2), `WorkError` is work that failed (exit code 1).
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from typing import Any

from foundry.core.untrusted import is_word


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
        where = f"{_cut(self.path, 200)}: " if self.path else ""
        text = f"[{self.code}] {where}{_cut(self.message, 1000)}"
        if self.choices:
            shown = self.choices if len(self.choices) <= 24 else (*self.choices[:24], "…")
            text += f" (choices: {', '.join(shown)})"
        if self.hint:
            text += f"; {self.hint}"
        # One line that any terminal can print, whatever was put in: control characters and lone surrogates are escaped.
        return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in " ".join(text.split()))

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the line, and not where in Foundry it came from."""
        return [str(self)]

    def under(self, prefix: str) -> FoundryError:
        """The same error, its path moved below `prefix`."""
        self.path = ".".join(part for part in (prefix, self.path) if part)
        return self

    def plain(self) -> dict[str, Any]:
        """As plain data, for another process of Foundry's: the arguments that it was made of."""
        return {
            "code": self.code,
            "path": self.path,
            "message": self.message,
            "got": self.got if _is_json(self.got) else shown(self.got, 200),
            "choices": list(self.choices),
            "hint": self.hint,
        }


class RequestError(FoundryError):
    """The request was wrong; nothing was changed."""

    exit_code = 2


class BrokenCode(RequestError):
    """Workspace code that can't be built or run once. reason: that of a run that fails, one of `REASONS`."""

    def __init__(self, name: str, reason: str, detail: str) -> None:
        hint = "foundry check FILE says more"
        super().__init__("code.broken", name, f"{reason}: {detail}", got=reason, hint=hint)
        self.reason = reason


class WorkError(FoundryError):
    """The request was right and the work failed."""

    exit_code = 1


class MachineTrouble(WorkError):
    """Work that failed through no fault of its own: a file, a process or a disk that went. It may be run again."""


def nearest(got: Any, choices: Sequence[str]) -> str:
    """`did you mean 'gqa'?` when one of `choices` is close to what was given, else nothing."""
    short = str(got)[:100] if isinstance(got, (str, int, float)) and not _is_huge(got) else ""
    match = difflib.get_close_matches(short, filter(is_word, choices), n=1, cutoff=0.5)
    return f"did you mean '{match[0]}'?" if match else ""


def shown(value: Any, length: int = 80) -> str:
    """repr(value), shortened; its type where it has no repr (Python prints no integer of more than 4300 digits)."""
    try:
        return _cut(repr(value), length)
    except Exception:  # an object's own __repr__ may raise anything
        return f"<{type(value).__name__}>"


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _is_json(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or (isinstance(value, (str, int)) and not _is_huge(value))


def _is_huge(value: Any) -> bool:
    """An integer of thousands of digits, which Python refuses to print."""
    return isinstance(value, int) and value.bit_length() > 1024


REASONS = ("nan", "oom", "timeout", "crash", "leak", "invalid")


LOST, KILLED = "lost", "killed"
"""Ends that say nothing of the run, which may be run again: the machine's doing; a kill that was the machine's, or that
code did to itself."""


class RunFailure(Exception):
    """A run that ended without a result, and why. Never a number."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        if reason not in REASONS:
            raise ValueError(f"unknown failure reason {reason!r}")
        self.reason, self.detail = reason, detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


class Killed(RunFailure):
    """What ran a model's code was killed, and not by us: by the machine, or by that code. The kernel's count tells."""

    def __init__(self, detail: str) -> None:
        super().__init__("oom", detail)
