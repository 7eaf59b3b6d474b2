"""Scores that fall with the square root of the distance, each head at its own slope. May not: rotate."""

from __future__ import annotations

import torch
from torch import Tensor

from foundry.modules.position import Position, PositionConfig


class Config(PositionConfig):
    def build(self, width: int, heads: int, head_dim: int, context: int) -> Position:
        return Fading(heads)


class Fading(Position):
    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads

    def embed(self, x: Tensor, offset: int) -> Tensor:
        return x

    def rotate(self, x: Tensor, offset: int) -> Tensor:
        return x

    def bias(self, queries: int, keys: int, device: torch.device) -> Tensor | None:
        place = torch.arange(keys, device=device)
        distance = (place[keys - queries :, None] - place).clamp_min(0)
        slopes = 2.0 ** -torch.arange(self.heads, device=device)
        return -slopes[:, None, None] * distance.sqrt()
