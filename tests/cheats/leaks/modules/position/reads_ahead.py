"""Positions that carry the next token's embedding along."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from foundry.modules.position import Position, PositionConfig


class Config(PositionConfig):
    def build(self, width: int, heads: int, head_dim: int, context: int) -> Position:
        return ReadsAhead()


class ReadsAhead(Position):
    def embed(self, x: Tensor, offset: int) -> Tensor:
        return x + 0.5 * F.pad(x[..., 1:, :], (0, 0, 0, 1))

    def rotate(self, x: Tensor, offset: int) -> Tensor:
        return x

    def bias(self, queries: int, keys: int, device: torch.device) -> Tensor | None:
        return None
