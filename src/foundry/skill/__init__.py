"""SKILL.md, how an agent works with Foundry: read, and put where agents look for such pages. May not: overwrite one."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path
from typing import Literal

from foundry.core.errors import RequestError
from foundry.core.files import write_atomic
from foundry.documents.recipes import Skill

Agent = Literal["claude", "codex"]
PLACES = {"claude": Path(".claude/skills"), "codex": Path(".agents/skills")}
NAME = Path("foundry/SKILL.md")


def text() -> str:
    return resources.files("foundry").joinpath("skill", "SKILL.md").read_text(encoding="utf-8")


def skill(into: Path | None) -> Skill:
    """The page, and put into `into`, a folder of skills. Raises RequestError where another page stands there."""
    if into is None:
        return Skill(text=text(), file=None)
    file = into / NAME
    if os.path.lexists(file) and not (file.is_file() and file.read_text(errors="replace") == text()):
        message, hint = (
            "another page is there, and nothing was written",
            "move it away; the same command writes this one",
        )
        raise RequestError("skill.exists", str(file), message, hint=hint)
    write_atomic(file, text())
    return Skill(text=text(), file=str(file))
