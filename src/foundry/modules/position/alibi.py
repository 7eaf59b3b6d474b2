"""ALiBi (Press et al. 2022): scores fall linearly with distance, each head at its own slope. May not: rotate."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from foundry.modules.position import Position, PositionConfig


class Config(PositionConfig):
    def build(self, width: int, heads: int, head_dim: int, context: int) -> Position:
        return LinearBias(heads)


class LinearBias(Position):
    slopes: Tensor

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.register_buffer("slopes", torch.tensor(head_slopes(heads)), persistent=False)

    def embed(self, x: Tensor, offset: int) -> Tensor:
        return x

    def rotate(self, x: Tensor, offset: int) -> Tensor:
        return x

    def bias(self, queries: int, keys: int, device: torch.device) -> Tensor | None:
        place = torch.arange(keys, device=device)
        distance = place - place[keys - queries :, None]  # ≤ 0 up to the query itself
        return self.slopes[:, None, None] * distance


def head_slopes(heads: int) -> list[float]:
    """2^(−8/n), 2^(−16/n), … for n heads; for an n that is no power of two, every other slope of 2n fills up."""
    power = 2 ** math.floor(math.log2(heads))
    slopes = [2 ** (-8 * (i + 1) / power) for i in range(power)]
    between = [2 ** (-8 * (i + 0.5) / power) for i in range(power)]
    return slopes + between[: heads - power]
