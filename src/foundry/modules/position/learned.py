"""Learned positions (Radford et al. 2018): a vector for each place, added to the stream. May not: rotate."""

from __future__ import annotations

import torch
from torch import Tensor

from foundry.modules.layers import parameter
from foundry.modules.position import Position, PositionConfig


class Config(PositionConfig):
    def build(self, width: int, heads: int, head_dim: int, context: int) -> Position:
        return LearnedPosition(width, context)


class LearnedPosition(Position):
    """weight [P?, context, D]."""

    def __init__(self, width: int, context: int) -> None:
        super().__init__()
        self.weight = parameter("embedding", context, width)

    def embed(self, x: Tensor, offset: int) -> Tensor:
        return x + self.weight[..., offset : offset + x.shape[-2], :].unsqueeze(-3)

    def rotate(self, x: Tensor, offset: int) -> Tensor:
        return x

    def bias(self, queries: int, keys: int, device: torch.device) -> Tensor | None:
        return None
