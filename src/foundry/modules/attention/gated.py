"""Gated attention (Qiu et al. 2025): each head's output passes a sigmoid gate of its token. May not: apply positions.

One gate a head, the variant that adds the fewest parameters (D · H). Shapes: P population (may be absent), B batch,
T time, D width, H heads, E head dim.
"""

from __future__ import annotations

from torch import Tensor, nn

from foundry.modules.forward_context import Side
from foundry.modules.grouped import GroupedConfig, GroupedHeads
from foundry.modules.layers import Linear
from foundry.modules.norm import NormConfig


class Config(GroupedConfig):
    def build(self, width: int, layer: int, norm: NormConfig) -> nn.Module:
        return GatedAttention(self, width, layer, norm)


class GatedAttention(nn.Module):
    """x [P?, B, T, D] → out(heads(x) · sigmoid(gate(x))), same shape."""

    def __init__(self, config: Config, width: int, layer: int, norm: NormConfig) -> None:
        super().__init__()
        self.heads = GroupedHeads(config, width, layer, norm)
        self.gate = Linear(width, config.heads)
        self.out = Linear(width, width, role="out")

    def forward(self, x_PBTD: Tensor, side: Side) -> Tensor:
        gate_PBTH1 = self.gate(x_PBTD).sigmoid().unsqueeze(-1)
        mixed_PBTHE = self.heads(x_PBTD, side).unflatten(-1, (gate_PBTH1.shape[-2], -1))
        return self.out((mixed_PBTHE * gate_PBTH1).flatten(-2))
