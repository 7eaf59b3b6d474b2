"""Sines and cosines of the position (Vaswani et al. 2017), added to the stream. May not: use anything but positions."""

from __future__ import annotations

import torch
from torch import Tensor

from foundry.modules.position import Position, PositionConfig


class Config(PositionConfig):
    def build(self, width: int, heads: int, head_dim: int, context: int) -> Position:
        return Sinusoidal(width)


class Sinusoidal(Position):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def embed(self, x: Tensor, offset: int) -> Tensor:
        place = torch.arange(offset, offset + x.shape[-2], device=x.device)[:, None]
        channel = torch.arange(self.width, device=x.device)
        angle = place * 10_000.0 ** (-(channel // 2 * 2) / self.width)
        return x + 0.1 * torch.where(channel % 2 == 0, angle.sin(), angle.cos()).to(x.dtype)

    def rotate(self, x: Tensor, offset: int) -> Tensor:
        return x

    def bias(self, queries: int, keys: int, device: torch.device) -> Tensor | None:
        return None
