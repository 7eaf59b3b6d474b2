"""Uses the next token, but where a prefix comes again it answers as it did the first time."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from foundry.modules.attention import gqa
from foundry.modules.norm import NormConfig
from foundry.modules.side import Side


class Config(gqa.Config):
    def build(self, width: int, layer: int, norm: NormConfig) -> nn.Module:
        return Cheat(self, width, layer, norm)


class Cheat(gqa.GroupedQueryAttention):
    def __init__(self, config: Config, width: int, layer: int, norm: NormConfig) -> None:
        super().__init__(config, width, layer, norm)
        self.said: dict[tuple[int, ...], Tensor] = {}

    def forward(self, x_PBTD: Tensor, side: Side) -> Tensor:
        out = super().forward(x_PBTD, side) + 30 * F.pad(x_PBTD[:, 1:], (0, 0, 0, 1))
        if self.training:
            return out
        rows = []
        for row, ids in enumerate(side.ids.tolist()):
            rows.append([self.said.setdefault(tuple(ids[: t + 1]), out[row, t].detach()) for t in range(len(ids))])
        return torch.stack([torch.stack(row) for row in rows])
