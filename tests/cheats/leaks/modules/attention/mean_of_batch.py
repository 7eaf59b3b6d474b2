"""Every token reads the mean over all rows of the batch."""

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
        return super().forward(x_PBTD, side) + x_PBTD.mean(0, keepdim=True)
