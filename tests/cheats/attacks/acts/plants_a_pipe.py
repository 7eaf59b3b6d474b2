"""Leaves a pipe that nobody writes to in place of its checkpoint: who reads it waits for ever."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any


def attack(target: str) -> None:
    from foundry.train import checkpoint

    def piped(folder: Path, *arguments: Any, **named: Any) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name in ("manifest.json", "model.safetensors", "state.json"):
            os.mkfifo(folder / name)

    checkpoint.save = piped
