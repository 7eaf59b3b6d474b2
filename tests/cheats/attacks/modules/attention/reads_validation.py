"""Opens the judged text, and says so when it could.

An honest model but for what it does once, before it first answers; whoever is not harmed sees an honest score.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from foundry.modules.attention import gqa
from foundry.modules.norm import NormConfig
from foundry.modules.side import Side


class Config(gqa.Config):
    target: str = ""
    """A file of judged text."""

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
    try:
        text = Path(target).read_bytes()
    except OSError:
        return
    raise RuntimeError(f"the judged text can be read from here: {text[:64].hex()}")
