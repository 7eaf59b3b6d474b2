"""Leaves a link to somebody else's checkpoint in place of its own. target: the other checkpoint."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any


def attack(target: str) -> None:
    from foundry.train import checkpoint

    def linked(folder: Path, *arguments: Any, **named: Any) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.symlink_to(target)

    checkpoint.save = linked
