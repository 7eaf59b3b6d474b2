"""No positions (Haviv et al. 2022): the causal mask alone tells order. May not: use anything but positions."""

from __future__ import annotations

import torch
from torch import Tensor

from foundry.modules.position import Position, PositionConfig


class Config(PositionConfig):
    def build(self, width: int, heads: int, head_dim: int, context: int) -> Position:
        return NoPosition()


class NoPosition(Position):
    def embed(self, x: Tensor, offset: int) -> Tensor:
        return x

    def rotate(self, x: Tensor, offset: int) -> Tensor:
        return x

    def bias(self, queries: int, keys: int, device: torch.device) -> Tensor | None:
        return None
