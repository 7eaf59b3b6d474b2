"""Sets back, and stops, every clock that Python code in its process can read.

An honest model but for what it does once, before it first answers; whoever is not harmed sees an honest score.
"""

from __future__ import annotations

import time

from torch import Tensor, nn

from foundry.modules.attention import gqa
from foundry.modules.norm import NormConfig
from foundry.modules.side import Side


class Config(gqa.Config):
    target: str = ""
    """Unused."""

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
    for name in ("time", "monotonic", "perf_counter", "process_time"):
        now = getattr(time, name)()
        setattr(time, name, lambda now=now: now - 3600)
