"""Grouped-query attention (Ainslie et al. 2023): heads share keys and values. May not: apply positions itself.

`kv_heads` left out, or equal to `heads`, is the multi-head attention of Vaswani et al. 2017; 1 is multi-query.
"""

from __future__ import annotations

from torch import Tensor, nn

from foundry.modules.forward_context import Side
from foundry.modules.grouped import GroupedConfig, GroupedHeads
from foundry.modules.layers import Linear
from foundry.modules.norm import NormConfig


class Config(GroupedConfig):
    def build(self, width: int, layer: int, norm: NormConfig) -> nn.Module:
        return GroupedQueryAttention(self, width, layer, norm)


class GroupedQueryAttention(nn.Module):
    """x [P?, B, T, D] → out(heads(x)), same shape."""

    def __init__(self, config: Config, width: int, layer: int, norm: NormConfig) -> None:
        super().__init__()
        self.heads = GroupedHeads(config, width, layer, norm)
        self.out = Linear(width, width, role="out")

    def forward(self, x_PBTD: Tensor, side: Side) -> Tensor:
        return self.out(self.heads(x_PBTD, side))
