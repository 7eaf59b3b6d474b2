"""What carries an act into a run: an honest model but for what it does once, before it first answers.

Whoever is not harmed sees an honest score. An act (`acts/NAME.py`) is laid out below this text as attention kind NAME.
"""

from __future__ import annotations

from torch import Tensor, nn

from foundry.modules.attention import gqa
from foundry.modules.forward_context import Side
from foundry.modules.norm import NormConfig


class Config(gqa.Config):
    target: str = ""
    """What the act is aimed at."""

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
    """Each act has its own."""
