"""A learned temperature for each head (Henry et al. 2020): how sharply its scores are compared. May not: apply
positions itself."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn

from foundry.modules.forward_context import Side
from foundry.modules.grouped import GroupedConfig, GroupedHeads
from foundry.modules.layers import Linear, parameter
from foundry.modules.norm import NormConfig


class Config(GroupedConfig):
    scale: float = Field(1.0, gt=0, le=100)
    """Of scores, beside 1/√E, at the start."""

    def build(self, width: int, layer: int, norm: NormConfig) -> nn.Module:
        return TemperedAttention(TemperedHeads(self, width, layer, norm), width)


class TemperedHeads(GroupedHeads):
    """Queries times scale · gain[head]; gain [P?, H], 1 at the start."""

    def __init__(self, config: Config, width: int, layer: int, norm: NormConfig) -> None:
        super().__init__(config, width, layer, norm)
        self.scale, self.gain = config.scale, parameter("gain", config.heads)

    def tempered(self, q_PBHTE: Tensor, offset: int) -> Tensor:
        gain_PBHTE = (self.scale * self.gain).to(q_PBHTE.dtype)[..., None, :, None, None]
        return q_PBHTE * gain_PBHTE


class TemperedAttention(nn.Module):
    """x [P?, B, T, D] → out(heads(x)), same shape."""

    def __init__(self, heads: TemperedHeads, width: int) -> None:
        super().__init__()
        self.heads = heads
        self.out = Linear(width, width, role="out")

    def forward(self, x_PBTD: Tensor, side: Side) -> Tensor:
        return self.out(self.heads(x_PBTD, side))
