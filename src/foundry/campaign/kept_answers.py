"""Questions that were put to somebody else and what came back, as files in `runs/asked/`; the newest stay.

What an answer said is kept as it came, under the key `untrusted`. A question that was answered is found again by its
content: a campaign that was killed asks nobody twice. May not: decide what holds.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from foundry.core import places
from foundry.core.files import write_json
from foundry.core.fingerprint import fingerprint

MOST_FILES = 256
MOST_SAID = 1 << 16
"""Characters of an answer."""


def keep(by: str, question: dict[str, Any], answer: dict[str, Any]) -> None:
    """answer: what was `said`, the `ideas` that hold, and what is on record of how it was `asked`."""
    said = [{"untrusted": text[:MOST_SAID]} for text in answer["said"]]
    path = _path(by, question)
    write_json(path, {"by": by, "question": question, **answer, "said": said})
    files = sorted(path.parent.glob("*.json"), key=lambda file: file.stat().st_mtime, reverse=True)
    for old in files[MOST_FILES:]:
        old.unlink(missing_ok=True)


def find(by: str, question: dict[str, Any]) -> dict[str, Any] | None:
    """What was kept of this question; None where nothing was, or it can't be read."""
    with contextlib.suppress(OSError, ValueError):
        kept = json.loads(_path(by, question).read_text())
        return kept if kept["question"] == question else None
    return None


def _path(by: str, question: dict[str, Any]) -> Path:
    return places.runs() / "asked" / f"{fingerprint([by, question])}.json"
