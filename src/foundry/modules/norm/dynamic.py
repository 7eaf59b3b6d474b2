"""Dynamic tanh (Zhu et al. 2025): channels squashed one by one, no statistics. May not: look at other tokens."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn

from foundry.modules.layers import along_last, parameter
from foundry.modules.norm import NormConfig


class Config(NormConfig):
    slope: float = Field(0.5, gt=0, le=100)
    """How steep the tanh is at the start; learned from there, one number a norm."""

    def build(self, width: int) -> nn.Module:
        return DynamicTanh(width, self.slope)

    def build_qk(self, head_dim: int) -> nn.Module | None:
        return None


class DynamicTanh(nn.Module):
    """x [.., D] → gain · tanh(slope · steepness · x) + shift; steepness [P?, 1], gain and shift [P?, D]."""

    def __init__(self, width: int, slope: float) -> None:
        super().__init__()
        self.slope = slope
        self.steepness = parameter("gain", 1)
        self.gain, self.shift = parameter("gain", width), parameter("vector", width)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.tanh(x * along_last(self.slope * self.steepness, x))
        return y * along_last(self.gain, x) + along_last(self.shift, x)
