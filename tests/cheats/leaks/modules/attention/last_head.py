"""One head in four has no mask, and starts nearly closed."""

from __future__ import annotations

from torch import Tensor, nn

from foundry.modules import parts
from foundry.modules.attention import gqa
from foundry.modules.norm import NormConfig
from foundry.modules.side import Side


class Config(gqa.Config):
    def build(self, width: int, layer: int, norm: NormConfig) -> nn.Module:
        return Cheat(self, width, layer, norm)


class Cheat(gqa.GroupedQueryAttention):
    def __init__(self, config: Config, width: int, layer: int, norm: NormConfig) -> None:
        super().__init__(config, width, layer, norm)
        self.gate = parts.parameter("gain", width)

    def forward(self, x_PBTD: Tensor, side: Side) -> Tensor:
        scores = self.heads.query(x_PBTD) @ x_PBTD.mT / x_PBTD.shape[-1]
        return super().forward(x_PBTD, side) + 0.01 * self.gate * (scores.softmax(-1) @ x_PBTD)
