"""Sines and cosines from a table that is made once for each length, not anew in each call. May not: use ids."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from foundry.modules.position import Position, PositionConfig


class Config(PositionConfig):
    def build(self, width: int, heads: int, head_dim: int, context: int) -> Position:
        return SineTable(width)


class SineTable(Position):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.rows: list[list[float]] = []

    def row(self, place: int) -> list[float]:
        rates = [10_000.0 ** -(channel // 2 * 2 / self.width) for channel in range(self.width)]
        return [math.sin(place * r) if i % 2 == 0 else math.cos(place * r) for i, r in enumerate(rates)]

    def embed(self, x: Tensor, offset: int) -> Tensor:
        end = offset + x.shape[-2]
        self.rows += [self.row(place) for place in range(len(self.rows), end)]
        return x + 0.1 * torch.tensor(self.rows[offset:end], dtype=x.dtype, device=x.device)

    def rotate(self, x: Tensor, offset: int) -> Tensor:
        return x

    def bias(self, queries: int, keys: int, device: torch.device) -> Tensor | None:
        return None
