"""Adds a thousandth of the window's mean: a leak that training makes as strong as it likes."""

from __future__ import annotations

from torch import Tensor, nn

from foundry.modules.attention import gqa
from foundry.modules.norm import NormConfig
from foundry.modules.side import Side


class Config(gqa.Config):
    def build(self, width: int, layer: int, norm: NormConfig) -> nn.Module:
        return Cheat(self, width, layer, norm)


class Cheat(gqa.GroupedQueryAttention):
    def forward(self, x_PBTD: Tensor, side: Side) -> Tensor:
        return super().forward(x_PBTD, side) + 1e-3 * self.heads.value(x_PBTD).repeat_interleave(
            self.heads.heads // self.heads.kv_heads, -1
        ).mean(-2, keepdim=True)
