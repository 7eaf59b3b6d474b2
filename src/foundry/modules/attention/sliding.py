"""Sliding-window attention (Beltagy et al. 2020; Jiang et al. 2023): a token sees the nearest `window` tokens.

Every `full_every`-th layer, the last one included, sees all. FLOPs are counted as computed: in full.
May not: apply positions itself.
"""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn

from foundry.core.slot import PartConfig
from foundry.modules.attention import gqa
from foundry.modules.forward_context import Side
from foundry.modules.grouped import GroupedConfig, GroupedHeads
from foundry.modules.layers import Linear
from foundry.modules.norm import NormConfig


class Config(GroupedConfig):
    window: int = Field(32, ge=1, le=1_048_576)
    """Tokens that a query sees, itself included."""
    full_every: int = Field(0, ge=0, le=512)
    """Layers number n − 1, 2n − 1, … (from 0) have no window; 0 for a window in all."""

    def alike(self, context: int, layers: int, steps: int) -> PartConfig:
        unbounded = self.window >= context or self.full_every == 1
        return gqa.Config(heads=self.heads, kv_heads=self.kv_heads) if unbounded else self

    def build(self, width: int, layer: int, norm: NormConfig) -> nn.Module:
        full = self.full_every > 0 and (layer + 1) % self.full_every == 0
        return SlidingAttention(self, width, layer, norm, 0 if full else self.window)


class SlidingAttention(nn.Module):
    """x [P?, B, T, D] → same shape."""

    def __init__(self, config: Config, width: int, layer: int, norm: NormConfig, window: int) -> None:
        super().__init__()
        self.heads = GroupedHeads(config, width, layer, norm, window)
        self.out = Linear(width, width, role="out")

    def forward(self, x_PBTD: Tensor, side: Side) -> Tensor:
        return self.out(self.heads(x_PBTD, side))
