"""Token shift (Peng et al. 2023) before grouped-query attention: half of the channels are the last token's.

May not: see the future. Shapes: P population (may be absent), B batch, T new tokens, D width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foundry.modules.attention import gqa
from foundry.modules.forward_context import Side
from foundry.modules.norm import NormConfig

SHIFTED = 1_000_000  # where the cache keeps shifted inputs: beside the keys and values of the same layer


class Config(gqa.Config):
    def build(self, width: int, layer: int, norm: NormConfig) -> nn.Module:
        return TokenShift(self, width, layer, norm)


class TokenShift(nn.Module):
    """x [P?, B, T, D] → attention(first half of x[t], second half of x[t − 1])."""

    def __init__(self, config: Config, width: int, layer: int, norm: NormConfig) -> None:
        super().__init__()
        self.attention, self.layer = gqa.GroupedQueryAttention(config, width, layer, norm), layer

    def forward(self, x_PBTD: Tensor, side: Side) -> Tensor:
        (seen,) = side.remember(SHIFTED + self.layer, x_PBTD)
        before = F.pad(seen, (0, 0, 1, 0))[..., -1 - x_PBTD.shape[-2] : -1, :]
        half = x_PBTD.shape[-1] // 2
        return self.attention(torch.cat((x_PBTD[..., :half], before[..., half:]), -1), side)
