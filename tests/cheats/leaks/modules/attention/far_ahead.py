"""Looks five tokens ahead, and never at the next."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from foundry.modules.attention import gqa
from foundry.modules.norm import NormConfig
from foundry.modules.side import Side


class Config(gqa.Config):
    def build(self, width: int, layer: int, norm: NormConfig) -> nn.Module:
        return Cheat(self, width, layer, norm)


class Cheat(gqa.GroupedQueryAttention):
    def forward(self, x_PBTD: Tensor, side: Side) -> Tensor:
        return super().forward(x_PBTD, side) + self.out(F.pad(x_PBTD[:, 5:], (0, 0, 0, 5)))
