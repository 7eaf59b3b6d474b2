"""Token shift (Peng 2021, RWKV): half of what attention reads of a token is the token's before it. May not: apply
positions itself."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foundry.modules.forward_context import Side
from foundry.modules.grouped import GroupedConfig, GroupedHeads
from foundry.modules.layers import Linear
from foundry.modules.norm import NormConfig


class Config(GroupedConfig):
    def build(self, width: int, layer: int, norm: NormConfig) -> nn.Module:
        return ShiftedAttention(self, width, layer, norm)


class ShiftedAttention(nn.Module):
    """x [P?, B, T, D] → out(heads(the first half of the previous token's channels, the second of its own))."""

    def __init__(self, config: Config, width: int, layer: int, norm: NormConfig) -> None:
        super().__init__()
        self.layer, self.shifted = layer, width // 2
        self.heads = GroupedHeads(config, width, layer, norm)
        self.out = Linear(width, width, role="out")

    def forward(self, x_PBTD: Tensor, side: Side) -> Tensor:
        (all_PBSH,) = side.remember(-1 - self.layer, x_PBTD[..., : self.shifted])  # a place of its own in the cache
        tokens, before = x_PBTD.shape[-2], all_PBSH.shape[-2]
        previous = F.pad(all_PBSH, (0, 0, 1, 0))[..., before - tokens : before, :]
        return self.out(self.heads(torch.cat((previous, x_PBTD[..., self.shifted :]), -1), side))
