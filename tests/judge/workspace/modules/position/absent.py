"""No positions."""

from __future__ import annotations

from torch import Tensor

from foundry.modules.position import Position, PositionConfig


class Config(PositionConfig):
    def build(self, width: int, heads: int, head_dim: int, context: int) -> Position:
        return Absent()


class Absent(Position):
    def embed(self, x: Tensor, offset: int) -> Tensor:
        return x

    def rotate(self, x: Tensor, offset: int) -> Tensor:
        return x

    def bias(self, queries: int, keys: int, device: object) -> Tensor | None:
        return None
