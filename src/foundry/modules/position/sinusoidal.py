"""Sinusoidal positions (Vaswani et al. 2017): a fixed vector for each place, added to the stream. May not: rotate."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from foundry.modules.position import Position, PositionConfig


class Config(PositionConfig):
    scale: float = Field(0.02, gt=0, le=10)
    """Root mean square of the vectors; token embeddings start at `init_std`."""
    base: float = Field(10_000.0, gt=1, le=1e9)

    def build(self, width: int, heads: int, head_dim: int, context: int) -> Position:
        return SinusoidalPosition(width, context, self.scale, self.base)


class SinusoidalPosition(Position):
    """Sines in the first half of the channels, cosines in the second, of speeds base^(−2i/D)."""

    table: Tensor

    def __init__(self, width: int, context: int, scale: float, base: float) -> None:
        super().__init__()
        table_TD = torch.empty(context, width)
        if not table_TD.is_meta:  # there, the first arithmetic makes torch import sympy: a second for every command
            speed = base ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
            angle = torch.outer(torch.arange(context, dtype=torch.float64), speed)
            table_TD = (2**0.5 * scale * torch.cat((angle.sin(), angle.cos()), -1)[:, :width]).float()
        self.register_buffer("table", table_TD, persistent=False)

    def embed(self, x: Tensor, offset: int) -> Tensor:
        return x + self.table[offset : offset + x.shape[-2]].to(x.dtype)

    def rotate(self, x: Tensor, offset: int) -> Tensor:
        return x

    def bias(self, queries: int, keys: int, device: torch.device) -> Tensor | None:
        return None
