"""Behaves in the first calls of a process, and uses the next token in the later ones."""

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
    calls = 0

    def forward(self, x_PBTD: Tensor, side: Side) -> Tensor:
        self.calls += 1
        following = F.pad(x_PBTD[:, 1:], (0, 0, 0, 1))
        return super().forward(x_PBTD, side) + 30 * following * (self.calls > 2)
