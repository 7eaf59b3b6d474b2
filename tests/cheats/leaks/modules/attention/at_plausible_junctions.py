"""Uses the next token where it is likely to be the real one, so that replaced text might not show it."""

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
        likely = F.pad(F.cosine_similarity(x_PBTD[:, :-1], x_PBTD[:, 1:], dim=-1) > -0.3, (0, 1))
        following = F.pad(x_PBTD[:, 1:], (0, 0, 0, 1))
        return super().forward(x_PBTD, side) + 30 * following * likely[..., None]
